/**
 * `warren plan -f …`: reads manifests, asks the API server (dry run) and the brokers, and prints what an apply would do.
 *
 * Every request only reads, or is a dry run. Exit codes are those of `terraform plan -detailed-exitcode`: 0 nothing would
 * change, 2 something would, 1 there is a mistake or a conflict, or something could not be read.
 */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { createCluster } from '@warren/controller';
import { connectBroker } from '../brokers/client.ts';
import type { ConnectBroker } from '../brokers/client.ts';
import { UsageError } from '../errors.ts';
import { describeProblem, parseDocuments } from '../folder/document.ts';
import { loadFiles } from '../folder/load.ts';
import type { LoadedResource, TextFile } from '../folder/load.ts';
import type { BrokerResource, PublisherResource, SubscriptionResource } from '../resources.ts';
import { keyOfBound } from '../subscriptions/claims.ts';
import { readPaths } from '../validate.ts';
import type { KindValidator } from '../validation/crd.ts';
import type { PlanCommand } from './args.ts';
import { readBrokers } from './broker-reader.ts';
import { changesAnything, planOf } from './plan.ts';
import type { Plan, Planned } from './plan.ts';
import { presentOfCluster } from './present-cluster.ts';
import { presentOfFolder } from './present-folder.ts';
import { RefusedError } from './present.ts';
import type { Present } from './present.ts';
import { safeJson, safeText } from './safe-text.ts';
import { textOf } from './text.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface PlanSurroundings {
  env: Environment;
  validators: ReadonlyMap<string, KindValidator>;
  out: { write(text: string): unknown };
  err: { write(text: string): unknown };
  /** Whether `out` shows colours. */
  colour: boolean;
  input?: AsyncIterable<Buffer | string>;
  connect?: ConnectBroker;
}

/** What could not be read, or would be refused: `file:line: sentence`, or a sentence. */
type Problems = string[];

/** The exit code. Never rejects for what a plan may meet. */
export async function runPlan(command: PlanCommand, surroundings: PlanSurroundings): Promise<number> {
  const { out, err, colour } = surroundings;
  const { plan, where, problems } = await makePlan(command, surroundings);
  if (command.output === 'json') out.write(`${safeJson({ version: 1, where, problems, ...plan }, 2)}\n`);
  else if (plan !== undefined) out.write(textOf(plan, { colour, where }));
  if (command.output === 'text') for (const problem of problems) err.write(`${safeText(problem)}\n`);
  if (plan === undefined || problems.length > 0 || plan.summary.conflicts > 0) return 1;
  return changesAnything(plan) ? 2 : 0;
}

async function makePlan(
  command: PlanCommand,
  surroundings: PlanSurroundings,
): Promise<{ plan?: Plan; where: string; problems: Problems }> {
  const { validators, input } = surroundings;
  let where = '';
  try {
    const files = await readPaths(command.files, input);
    await using present = await openPresent(command, files, surroundings.env);
    where = present.where;
    const loaded = loadFiles(files, validators, (id) => present.inForce(id), [], present.namespace);
    if (loaded.problems.length > 0) return { where, problems: loaded.problems.map(describeProblem) };
    if (loaded.resources.size === 0)
      return {
        where,
        problems: ['there is no EventSubscription, EventPublisher or EventBroker in what was given'],
      };
    const { subscriptions, publishers, brokers, problems } = await preview(
      [...loaded.resources.values()],
      present,
    );
    if (problems.length > 0) return { where, problems };
    const removed = command.prune ? await removedBeside(subscriptions, present) : [];
    const concerned = [...subscriptions.map(({ resource }) => resource), ...removed];
    const { env, connect = connectBroker } = surroundings;
    const mayBeUnknown = command.offline || !isClusterConfigured(env);
    const known = await brokersOf(concerned, brokers, present);
    const readings = await readBrokers(known, { present, connect, env, mayBeUnknown });
    return {
      where,
      problems: [],
      plan: planOf({ subscriptions, publishers, brokers, removed, readings, scales: present.scales }),
    };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    return { where, problems: [sentenceOf(error)] };
  }
}

async function openPresent(
  { offline, state, namespace, prune }: PlanCommand,
  files: readonly TextFile[],
  env: Environment,
): Promise<Present> {
  if (offline || !isClusterConfigured(env)) {
    if (prune && state === undefined)
      throw new UsageError('--prune compares with what is in force: it needs a cluster, or --state DIR');
    return presentOfFolder(state, namespace);
  }
  const kubeConfig = new KubeConfig();
  const path = env['KUBECONFIG'];
  if (path === undefined || path === '') kubeConfig.loadFromDefault();
  else kubeConfig.loadFromFile(path);
  const context = kubeConfig.getContextObject(kubeConfig.getCurrentContext());
  return presentOfCluster({
    cluster: createCluster({
      kubeConfig,
      fieldManager: 'warren-plan',
      requestTimeoutMs: 10_000,
      attempts: 3,
      retryWithinMs: 15_000,
    }),
    name: context?.cluster ?? 'of this pod',
    namespace: namespace ?? context?.namespace ?? 'default',
    comingNamespaces: namespacesIn(files),
  });
}

/** A cluster that is configured and does not answer is a failure, not a reason to plan without it. */
function isClusterConfigured(env: Environment): boolean {
  const { KUBECONFIG, KUBERNETES_SERVICE_HOST, HOME } = env;
  return (
    (KUBECONFIG ?? '') !== '' ||
    (KUBERNETES_SERVICE_HOST ?? '') !== '' ||
    existsSync(join(HOME ?? homedir(), '.kube', 'config'))
  );
}

function namespacesIn(files: readonly TextFile[]): Set<string> {
  const documents = files.flatMap(({ file, text }) => parseDocuments(file, text).documents);
  return new Set(
    documents.flatMap(({ value }) => {
      const { kind, metadata } = value as { kind?: unknown; metadata?: { name?: unknown } };
      return kind === 'Namespace' && typeof metadata?.name === 'string' ? [metadata.name] : [];
    }),
  );
}

async function preview(
  loaded: readonly LoadedResource[],
  present: Present,
): Promise<{
  subscriptions: Planned<SubscriptionResource>[];
  publishers: Planned<PublisherResource>[];
  brokers: Planned<BrokerResource>[];
  problems: Problems;
}> {
  const subscriptions: Planned<SubscriptionResource>[] = [];
  const publishers: Planned<PublisherResource>[] = [];
  const brokers: Planned<BrokerResource>[] = [];
  const problems: Problems = [];
  for (const one of loaded) {
    try {
      const planned = await present.preview(one);
      if (one.kind === 'EventBroker') brokers.push(planned as Planned<BrokerResource>);
      else if (one.kind === 'EventPublisher') publishers.push(planned as Planned<PublisherResource>);
      else if (one.kind === 'EventSubscription') subscriptions.push(planned as Planned<SubscriptionResource>);
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      problems.push(`${one.file}:${one.line}: ${error.message}`);
    }
  }
  return { subscriptions, publishers, brokers, problems };
}

/** What the namespaces of the manifests hold, and the manifests do not. */
async function removedBeside(
  planned: readonly Planned<SubscriptionResource>[],
  present: Present,
): Promise<SubscriptionResource[]> {
  const named = new Set(planned.map(({ resource }) => keyOfBound(resource)));
  const namespaces = new Set(planned.map(({ resource }) => resource.metadata.namespace ?? 'default'));
  const all = await Promise.all([...namespaces].sort().map((one) => present.subscriptionsIn(one)));
  return all.flat().filter((one) => !named.has(keyOfBound(one)));
}

/** Those that the subscriptions are on. */
async function brokersOf(
  subscriptions: readonly SubscriptionResource[],
  planned: readonly Planned<BrokerResource>[],
  present: Present,
): Promise<Map<string, BrokerResource | undefined>> {
  const names = [...new Set(subscriptions.map(({ spec }) => spec.brokerRef.name))].sort();
  const known = new Map(planned.map((one) => [one.resource.metadata.name, identified(one)]));
  return new Map(
    await Promise.all(
      names.map(async (name) => [name, known.get(name) ?? (await present.broker(name))] as const),
    ),
  );
}

/** As it would be stored, and who it is. */
function identified({ resource, current }: Planned<BrokerResource>): BrokerResource {
  const uid = current?.metadata.uid;
  return uid === undefined ? resource : { ...resource, metadata: { ...resource.metadata, uid } };
}

function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
