import { undo } from './docker.ts';
import { stateDir } from './endpoints.ts';
import type { Report } from './progress.ts';
import { owners, tidyUp as tidyUpIn } from './run-folder.ts';

export {
  bringUpCluster,
  clusterLacks,
  type ClusterEnvironment,
  type ClusterEnvironmentOptions,
} from './cluster/run.ts';
export { loadImages } from './cluster/load.ts';
export { startEnvironment, type Environment, type EnvironmentOptions } from './environment.ts';
export {
  currentCluster,
  currentEndpoints,
  endpointsFile,
  readCluster,
  readEndpoints,
  stateDir,
  type ClusterEndpoints,
  type Endpoints,
} from './endpoints.ts';
export { EnvironmentError, type EnvironmentErrorCode } from './errors.ts';
export { run, succeeds, type CommandOptions } from './command.ts';
export { brokerVersions, prepareBrokers } from './broker-versions.ts';
export { endingWithUs } from './contained.ts';
export { debianTool, type Context } from './debian.ts';
export { goBinaries, type GoBinary } from './go.ts';
export { helmBinary } from './helm.ts';
export { kedaBinaries, kedaVersion } from './keda.ts';
export { choosePort } from './ports.ts';
export { printer, silent, type Report } from './progress.ts';
export { RunFolder } from './run-folder.ts';
export { end as endNow, isRunning, type ProcessId } from './process-id.ts';

/** Ends what killed runs in the default state folder have left running, and removes their folders. */
export const tidyUp = (report: Report): Promise<void> => tidyUpIn(stateDir(), report, undo);

/** The processes that keep a cluster up, or are starting one, in the default state folder. */
export const clusterOwners = () => owners(stateDir(), 'cluster');
