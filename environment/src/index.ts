import { undo } from './docker.ts';
import { stateDir } from './endpoints.ts';
import type { Report } from './progress.ts';
import { tidyUp as tidyUpIn } from './run-folder.ts';

export { startEnvironment, type Environment, type EnvironmentOptions } from './environment.ts';
export { currentEndpoints, endpointsFile, readEndpoints, stateDir, type Endpoints } from './endpoints.ts';
export { EnvironmentError, type EnvironmentErrorCode } from './errors.ts';
export { run, succeeds, type CommandOptions } from './command.ts';
export { debianTool, type Context } from './debian.ts';
export { goBinaries, type GoBinary } from './go.ts';
export { choosePort } from './ports.ts';
export { printer, silent, type Report } from './progress.ts';
export { RunFolder } from './run-folder.ts';
export { end as endNow, type ProcessId } from './process-id.ts';

/** Ends what killed runs in the default state folder have left running, and removes their folders. */
export const tidyUp = (report: Report): Promise<void> => tidyUpIn(stateDir(), report, undo);
