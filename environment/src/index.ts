export { startEnvironment, type Environment, type EnvironmentOptions } from './environment.ts';
export { currentEndpoints, endpointsFile, readEndpoints, stateDir, type Endpoints } from './endpoints.ts';
export { EnvironmentError, type EnvironmentErrorCode } from './errors.ts';
export { choosePort } from './ports.ts';
export { printer, silent, type Report } from './progress.ts';
