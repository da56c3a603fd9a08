/** For tests: an operator over a folder of its own, in this process, quick enough to watch. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { stringify } from 'yaml';
import { conditionOf } from '../conditions.ts';
import { FolderSource } from '../folder/folder-source.ts';
import { createLog } from '../log.ts';
import { createOperator } from '../operator.ts';
import type { OperatorOptions } from '../operator.ts';
import type { Condition, SubscriptionResource } from '../resources.ts';
import { readValidators } from '../validation/definitions.ts';
import { readSettings } from '../settings.ts';
import type { StoryEvent } from '../source.ts';
import { recordCalls } from './recording-client.ts';
import type { Calls } from './recording-client.ts';
import { running } from './running.ts';

export interface FolderWorld extends AsyncDisposable {
  readonly folder: string;
  readonly state: string;
  /** Writes `<name>.yaml` with an EventSubscription of the namespace `shop`. */
  subscribe(name: string, spec: Record<string, unknown>, metadata?: Record<string, unknown>): Promise<void>;
  unsubscribe(name: string): Promise<void>;
  /** The EventBroker `default`; it takes over the virtual host of a world before this one. */
  broker(spec?: Record<string, unknown>, metadata?: Record<string, unknown>): Promise<void>;
}

/** A folder with an EventBroker and its Secret, and a state folder. */
export async function folderWorld(access: { amqpUrl: string; managementUrl: string }): Promise<FolderWorld> {
  const root = await mkdtemp(join(tmpdir(), 'warren-operator-'));
  const [folder, state] = [join(root, 'resources'), join(root, 'state')];
  const secret = join(state, 'secrets', 'warren-system', 'rabbitmq');
  await mkdir(folder);
  await mkdir(secret, { recursive: true });
  await writeFile(join(secret, 'uri'), access.amqpUrl);
  await writeFile(join(secret, 'management-uri'), access.managementUrl);
  const write = (file: string, resource: object) =>
    writeFile(join(folder, `${file}.yaml`), stringify({ apiVersion: 'warren.events/v1alpha1', ...resource }));
  const world: FolderWorld = {
    folder,
    state,
    subscribe: (name, spec, metadata = {}) =>
      write(name, { kind: 'EventSubscription', metadata: { name, namespace: 'shop', ...metadata }, spec }),
    unsubscribe: (name) => rm(join(folder, `${name}.yaml`)),
    broker: (spec = {}, metadata = {}) =>
      write('00-broker', {
        kind: 'EventBroker',
        metadata: { name: 'default', annotations: { 'warren.events/adopt': 'true' }, ...metadata },
        spec: { secretRef: { namespace: 'warren-system', name: 'rabbitmq' }, ...spec },
      }),
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
  await world.broker();
  return world;
}

export interface RunningOperator extends AsyncDisposable {
  readonly source: FolderSource;
  readonly calls: Calls;
  readonly metrics: Registry;
  /** What was told, of whom, in order. */
  readonly told: readonly (StoryEvent & { name: string })[];
  /** How many times a status was written. */
  readonly statusWrites: number;
  resource(name: string): SubscriptionResource | undefined;
  condition(name: string, type: string): Condition | undefined;
  brokerCondition(type: string): Condition | undefined;
  stop(): Promise<void>;
}

export type OperatorTuning = Partial<Omit<OperatorOptions, 'source' | 'registry' | 'log' | 'connect'>> & {
  calls?: Calls;
};

export async function startFolderOperator(
  { folder, state }: Pick<FolderWorld, 'folder' | 'state'>,
  { calls = recordCalls(), ...tuning }: OperatorTuning = {},
): Promise<RunningOperator> {
  const log = createLog({ level: process.env['TEST_LOG_LEVEL'] ?? 'silent' });
  const source = await FolderSource.open({
    folder,
    state,
    validators: readValidators(readSettings({}).crdDir),
    log,
    quietMs: 20,
    removedAfterMs: 100,
  });
  const told: (StoryEvent & { name: string })[] = [];
  let statusWrites = 0;
  const tell = source.tell.bind(source);
  source.tell = (resource, event) => {
    told.push({ name: resource.metadata.name, ...event });
    tell(resource, event);
  };
  const writeStatus = source.writeSubscriptionStatus.bind(source);
  source.writeSubscriptionStatus = async (resource, status) => {
    const written = await writeStatus(resource, status);
    if (written) statusWrites += 1;
    return written;
  };
  const metrics = new Registry();
  const operator = createOperator({
    source,
    registry: metrics,
    log,
    connect: calls.connect,
    resyncMs: 300,
    brokerPauseMs: { first: 100, longest: 400 },
    shutdownDeadlineMs: 5_000,
    ...tuning,
  });
  const stop = running(operator, () => source.close());
  const resource = (name: string) => source.subscriptions.get(`shop/${name}`);
  return {
    source,
    calls,
    metrics,
    told,
    get statusWrites() {
      return statusWrites;
    },
    resource,
    condition: (name, type) => conditionOf(resource(name)?.status?.conditions, type),
    brokerCondition: (type) => conditionOf(source.brokers.get('default')?.status?.conditions, type),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** The entries of a binding, as a service finds them. */
export async function readKeysOf(state: string, name: string): Promise<Record<string, string>> {
  const folder = join(state, 'bindings', 'shop', name);
  const keys = await readdir(folder);
  return Object.fromEntries(
    await Promise.all(
      keys.map(async (key): Promise<[string, string]> => [key, await readFile(join(folder, key), 'utf8')]),
    ),
  );
}

/** Ready, and of the spec that is in force. */
export function isReady(operator: RunningOperator, name: string): boolean {
  const resource = operator.resource(name);
  const ready = operator.condition(name, 'Ready');
  return ready?.status === 'True' && ready.observedGeneration === resource?.metadata.generation;
}
