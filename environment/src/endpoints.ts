/** Where the real parts are, and the file that says so. */
import { existsSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { EnvironmentError } from './errors.ts';
import { isRunning, type ProcessId } from './process-id.ts';

export interface Endpoints {
  rabbitmq: {
    /** `amqp://user:password@host:port` */
    amqp: string;
    /** `http://user:password@host:port` of the management API. */
    management: string;
    /** `http://host:port/metrics` of the broker, where it is known. */
    prometheus?: string;
  };
  /** `mongodb://host:port/`, without a database. */
  mongodb: string;
  /** Path of a kubeconfig file of a cluster administrator; null where no API server was asked for. */
  kubernetes: { kubeconfig: string } | null;
  /** Base URL by name of a service, where `npm start` runs them. */
  services: Record<string, string>;
  /** The process that keeps the parts up. When it has ended, so have they. */
  owner?: ProcessId;
  /** A cluster with nodes (`npm run cluster:up`), which a process of its own keeps up. Read it with `readCluster`. */
  cluster?: ClusterEndpoints;
  /** Another process that has added its services, and perhaps its API server, to what the owner keeps up. */
  guest?: ProcessId & { kubernetes: boolean };
}

export interface ClusterEndpoints {
  /** Path of a kubeconfig file of a cluster administrator. */
  kubeconfig: string;
  /** The machine that its nodes share, as a process here, and how many they are; undefined where kind has made them. */
  machine?: ProcessId & { nodes: number };
  /** Whether NetworkPolicies are enforced. */
  networkPolicies: boolean;
  owner: ProcessId;
}

export const repositoryRoot = resolve(import.meta.dirname, '..', '..');

/** The folder for all that is thrown away: `WARREN_STATE_DIR`, else `.local` in the repository. */
export const stateDir = (env: NodeJS.ProcessEnv = process.env): string =>
  env['WARREN_STATE_DIR'] ? resolve(env['WARREN_STATE_DIR']) : join(repositoryRoot, '.local');

/** `WARREN_ENDPOINTS`, else `endpoints.json` in the state folder. */
export const endpointsFile = (env: NodeJS.ProcessEnv = process.env): string =>
  env['WARREN_ENDPOINTS'] ? resolve(env['WARREN_ENDPOINTS']) : join(stateDir(env), 'endpoints.json');

/** What the file says, if it is there, whole, and its owner still runs; else undefined. */
export function readEndpoints(file: string = endpointsFile()): Endpoints | undefined {
  let endpoints: Endpoints;
  try {
    endpoints = JSON.parse(readFileSync(file, 'utf8')) as Endpoints;
  } catch {
    return undefined;
  }
  // Without parts, only a cluster has written it.
  if ((endpoints.rabbitmq as unknown) === undefined) return undefined;
  if (endpoints.owner !== undefined && !isRunning(endpoints.owner)) return undefined;
  return endpoints.guest !== undefined && !isRunning(endpoints.guest) ? withoutGuest(endpoints) : endpoints;
}

/** The cluster that runs now, if one does. */
export function readCluster(file: string = endpointsFile()): ClusterEndpoints | undefined {
  const cluster = readRaw(file)?.cluster;
  return cluster !== undefined && isRunning(cluster.owner) ? cluster : undefined;
}

/** The cluster that runs now. Throws `WARREN_ENVIRONMENT_DOWN` where none does. */
export function currentCluster(): ClusterEndpoints {
  const cluster = readCluster();
  if (cluster === undefined)
    throw new EnvironmentError(
      'WARREN_ENVIRONMENT_DOWN',
      'No cluster runs. Start one with: npm run cluster:up',
    );
  return cluster;
}

/** Adds a cluster to the file, or takes it out again, beside what else is in it. */
export function publishCluster(file: string, cluster: ClusterEndpoints | undefined): void {
  const { cluster: _, ...others } = readRaw(file) ?? {};
  const endpoints = { ...others, ...(cluster && { cluster }) };
  if (Object.keys(endpoints).length === 0) rmSync(file, { force: true });
  else writeFile(file, endpoints);
}

function readRaw(file: string): Partial<Endpoints> | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Partial<Endpoints>;
  } catch {
    return undefined;
  }
}

/** The endpoints of what runs now. Throws `WARREN_ENVIRONMENT_DOWN` where nothing does. */
export function currentEndpoints(): Endpoints {
  const file = endpointsFile();
  const endpoints = readEndpoints(file);
  if (endpoints === undefined) {
    throw new EnvironmentError(
      'WARREN_ENVIRONMENT_DOWN',
      `No environment runs (${file} is missing or its process has ended). Start one with: npm run env:up`,
    );
  }
  return endpoints;
}

/** Written whole or not at all; readable by this user alone, since URLs hold passwords. */
export function writeEndpoints(file: string, endpoints: Endpoints): void {
  const cluster = readCluster(file);
  writeFile(file, { ...endpoints, ...(cluster && { cluster }) });
}

function writeFile(file: string, endpoints: Partial<Endpoints>): void {
  // A link stays one.
  const target = existsSync(file) ? realpathSync(file) : file;
  const draft = `${target}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(endpoints, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(draft, target);
}

/** Adds to the file what runs beside its owner's parts: of a guest, where there is none yet, or of the owner itself. */
export function publishTo(file: string, own: Endpoints & { owner: ProcessId }): void {
  const found = readEndpoints(file);
  if (found?.owner === undefined || same(found.owner, own.owner)) {
    writeEndpoints(file, own);
    return;
  }
  if (found.guest !== undefined && !same(found.guest, own.owner)) return;
  if (found.guest === undefined && Object.keys(own.services).length === 0) return;
  const kubernetes = found.guest?.kubernetes ?? (found.kubernetes === null && own.kubernetes !== null);
  writeEndpoints(file, {
    ...found,
    services: own.services,
    ...(kubernetes && { kubernetes: own.kubernetes }),
    guest: { ...own.owner, kubernetes },
  });
}

/** Takes a process's endpoints out of the file again. */
export function unpublishFrom(file: string, owner: ProcessId): void {
  const found = readEndpoints(file);
  if (found?.owner !== undefined && same(found.owner, owner)) {
    rmSync(file, { force: true });
    if (found.cluster !== undefined && isRunning(found.cluster.owner)) publishCluster(file, found.cluster);
  } else if (found?.guest !== undefined && same(found.guest, owner))
    writeEndpoints(file, withoutGuest(found));
}

function withoutGuest({ guest, ...endpoints }: Endpoints): Endpoints {
  return { ...endpoints, services: {}, ...(guest?.kubernetes && { kubernetes: null }) };
}

const same = (one: ProcessId, other: ProcessId) => one.pid === other.pid && one.startTime === other.startTime;
