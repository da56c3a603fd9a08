import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from '@jest/globals';
import { parse, stringify } from 'yaml';
import { eventually, testBroker, testKubernetes } from '@warren/environment/testing';
import type { TestBroker } from '@warren/environment/testing';
import { CLAIM_EXCHANGE, markOf } from '../brokers/claim.ts';
import type { SubscriptionResource } from '../resources.ts';
import { readValidators } from '../validation/definitions.ts';
import { readSettings } from '../settings.ts';
import { folderWorld, isReady, startFolderOperator } from '../testing/folder-operator.ts';
import { kubernetesWorld, startClusterOperator } from '../testing/kubernetes-world.ts';
import { ROOT } from '../testing/operator-process.ts';
import { recordCalls } from '../testing/recording-client.ts';
import { virtualHost } from '../testing/virtual-host.ts';
import { parsePlan } from './args.ts';
import { runPlan } from './command.ts';
import type { Plan } from './plan.ts';

interface Planned {
  code: number;
  says: string;
  /** Calls that would have changed the broker. */
  writes: number;
}

async function planned(args: readonly string[], env: Record<string, string>): Promise<Planned> {
  let says = '';
  const out = { write: (text: string) => (says += text) };
  const calls = recordCalls();
  const validators = readValidators(readSettings({}).crdDir);
  const surroundings = { env, validators, out, err: out, colour: false, connect: calls.connect };
  const code = await runPlan(parsePlan(args), surroundings);
  return { code, says, writes: calls.writes };
}

interface Files extends AsyncDisposable {
  readonly folder: string;
  write(name: string, ...resources: object[]): Promise<string>;
}

async function files(): Promise<Files> {
  const folder = await mkdtemp(join(tmpdir(), 'warren-plan-'));
  return {
    folder,
    write: async (name, ...resources) => {
      const path = join(folder, `${name}.yaml`);
      await writeFile(path, resources.map((resource) => stringify(resource)).join('---\n'));
      return path;
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

function subscription(name: string, namespace: string, spec: object, broker = namespace) {
  return {
    apiVersion: 'warren.events/v1alpha1',
    kind: 'EventSubscription',
    metadata: { name, namespace },
    spec: { brokerRef: { name: broker }, ...spec },
  };
}

async function everything(broker: TestBroker): Promise<unknown> {
  await using host = virtualHost(broker);
  const { exchanges, queues, bindings, policies } = await host.api.inventory();
  return {
    exchanges,
    queues: queues.map(({ name, arguments: args }) => ({ name, args })),
    bindings,
    policies,
  };
}

/** A namespace of a real API server and its broker, and a folder for files to plan with. */
async function clusterPlanning() {
  await using stack = new AsyncDisposableStack();
  const { kubeconfig } = await testKubernetes();
  const broker = stack.use(await testBroker());
  const world = stack.use(await kubernetesWorld(kubeconfig, broker));
  const manifests = stack.use(await files());
  const { namespace } = world;
  const all = stack.move();
  return {
    ...{ kubeconfig, broker, world, manifests, namespace },
    env: { KUBECONFIG: kubeconfig },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

test('the API server itself says what would be stored, the broker what would differ, and nothing is written', async () => {
  await using t = await clusterPlanning();
  const { kubeconfig, broker, world, manifests, namespace, env } = t;
  const queue = { maxLength: 10 };
  const loyalty = await manifests.write(
    'loyalty',
    subscription('loyalty', namespace, { events: ['OrderPlaced'], queue }),
  );
  expect(await planned(['-f', loyalty], env)).toMatchObject({ code: 2, writes: 0 });
  expect(await everything(broker)).toMatchObject({ queues: [] });
  expect(await world.get('loyalty')).toBeUndefined();

  await world.kubectl('apply', '-f', loyalty);
  {
    await using operator = startClusterOperator(kubeconfig, world);
    await eventually(() => world.isReady('loyalty'));
    expect(await planned(['-f', loyalty], env)).toMatchObject({ code: 0, writes: 0 });
    await operator.stop();
  }
  await using host = virtualHost(broker);
  await host.publish('order.placed', ['a', 'b', 'c']);
  await eventually(async () => (await host.api.queue(`${namespace}.loyalty`))?.messages === 3);
  const before = { inForce: await world.get('loyalty'), broker: await everything(broker) };

  // What is not in the file any more goes, as with kubectl apply; what is immutable is made anew with its messages.
  await manifests.write(
    'loyalty',
    subscription('loyalty', namespace, { events: ['OrderCompleted'], delivery: { ordering: 'Strict' } }),
  );
  const changed = await planned(['-f', manifests.folder, '-o', 'json'], env);
  expect(changed).toMatchObject({ code: 2, writes: 0 });
  const plan = JSON.parse(changed.says) as Plan;
  expect(plan.subscriptions[0]).toMatchObject({
    action: 'change',
    fields: [
      { path: 'spec.delivery.ordering', from: 'None', to: 'Strict' },
      { path: 'spec.events', from: ['OrderPlaced'], to: ['OrderCompleted'] },
      { path: 'spec.queue.maxLength', from: 10 },
    ],
    migrations: [{ queue: `${namespace}.loyalty`, messages: 3 }],
  });
  expect(changed.says).not.toContain(new URL(broker.amqpUrl).password + '@');
  expect({ inForce: await world.get('loyalty'), broker: await everything(broker) }).toEqual(before);

  const pruned = await planned(
    ['-f', await manifests.write('other', subscription('other', namespace, { events: ['#'] })), '--prune'],
    env,
  );
  expect(pruned.says).toContain(`EventSubscription ${namespace}/loyalty will be deleted`);
  expect(pruned.says).toContain(`waits until no message is left: ${namespace}.loyalty holds 3 messages`);
});

test('what the API server would refuse is told with file and line', async () => {
  await using t = await clusterPlanning();
  const { world, manifests, namespace, env } = t;
  await world.subscribe('loyalty', { events: ['OrderPlaced'] });
  const moved = subscription('loyalty', namespace, { events: ['OrderPlaced'] }, 'elsewhere');
  const immutable = await planned(['-f', await manifests.write('moved', moved)], env);
  expect(immutable).toMatchObject({ code: 1, writes: 0 });
  expect(immutable.says).toMatch(/moved\.yaml:1: .*brokerRef/);

  const nowhere = subscription('loyalty', 'plan-nowhere', { events: ['OrderPlaced'] }, namespace);
  const missing = await planned(['-f', await manifests.write('nowhere', nowhere)], env);
  expect(missing.code).toBe(1);
  expect(missing.says).toContain('namespaces "plan-nowhere" not found');
  const made = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'plan-nowhere' } };
  const coming = await planned(['-f', await manifests.write('coming', made, nowhere)], env);
  // The broker allows one namespace, and this is not it.
  expect(coming.says).toContain('does not allow the namespace plan-nowhere');
  const silent = { KUBECONFIG: await manifests.write('kubeconfig', deadKubeconfig()) };
  expect((await planned(['-f', join(manifests.folder, 'moved.yaml')], silent)).code).toBe(1);
});

function deadKubeconfig(): object {
  return {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'c',
    clusters: [{ name: 'c', cluster: { server: 'http://127.0.0.1:1' } }],
    users: [{ name: 'u', user: {} }],
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
  };
}

test('a virtual host that another operator has marked is a conflict', async () => {
  await using t = await clusterPlanning();
  const { broker, manifests, namespace, env } = t;
  await using host = virtualHost(broker);
  const file = await manifests.write('l', subscription('loyalty', namespace, { events: ['OrderPlaced'] }));
  await host.api.declareExchange(markOf({ broker: 'theirs', uid: 'of-another', cluster: 'another' }));
  const refused = await planned(['-f', file], env);
  expect(refused).toMatchObject({ code: 1, writes: 0 });
  expect(refused.says).toContain(
    'EventBroker "theirs" (uid of-another) of another cluster or folder has the',
  );
  await host.api.deleteExchange(CLAIM_EXCHANGE);
  expect((await planned(['-f', file], env)).code).toBe(2);
});

test('what was applied by the server is planned in the name of who did', async () => {
  await using t = await clusterPlanning();
  const { world, manifests, env } = t;
  await world.subscribe('loyalty', { events: ['OrderPlaced'], queue: { maxLength: 10 } });
  const file = await manifests.write(
    'l',
    subscription('loyalty', world.namespace, { events: ['OrderPlaced'] }),
  );
  const { says } = await planned(['-f', file], env);
  expect(says).toContain('- spec.queue.maxLength: 10');
});

test('what Helm made becomes what the file says; who may not apply is told that the server was not asked', async () => {
  await using t = await clusterPlanning();
  const { kubeconfig, world, manifests, namespace, env } = t;
  const spec = { events: ['OrderPlaced'], queue: { maxLength: 10 } };
  await world.subscriptions.create(
    subscription('loyalty', namespace, spec) as unknown as SubscriptionResource,
  );
  const loyalty = subscription('loyalty', namespace, { events: ['OrderPlaced'] });
  const file = await manifests.write('l', loyalty, subscription('other', namespace, { events: ['#'] }));
  const whole = await planned(['-f', file], env);
  expect(whole.says).toContain('- spec.queue.maxLength: 10');

  await world.kubectl('create', 'serviceaccount', 'reader');
  await world.kubectl('create', 'role', 'reader', '--verb=get', '--resource=esub,secrets');
  await world.kubectl(
    'create',
    'rolebinding',
    'reader',
    '--role=reader',
    `--serviceaccount=${namespace}:reader`,
  );
  await world.kubectl('create', 'clusterrole', namespace, '--verb=get', '--resource=ebroker');
  await world.kubectl(
    'create',
    'clusterrolebinding',
    namespace,
    `--clusterrole=${namespace}`,
    `--serviceaccount=${namespace}:reader`,
  );
  try {
    const config = parse(await readFile(kubeconfig, 'utf8')) as { users: { user: object }[] };
    config.users = [
      { ...config.users[0], user: { token: (await world.kubectl('create', 'token', 'reader')).trim() } },
    ];
    const reader = { KUBECONFIG: await manifests.write('kubeconfig', config) };
    const unasked = await planned(['-f', file], reader);
    expect(unasked.code).toBe(2);
    expect(unasked.says).toContain('+ binding of ' + `${namespace}.other to events by #`);
    expect(unasked.says).toContain('validated without the API server');
    expect(unasked.says).toContain('cannot create resource');
  } finally {
    await world.kubectl('delete', 'clusterrole,clusterrolebinding', namespace);
  }
});

test('without a cluster it is compared with what folder mode has in force', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await world.subscribe('loyalty', { events: ['OrderPlaced'] });
  await using operator = await startFolderOperator(world);
  await eventually(() => isReady(operator, 'loyalty'));
  // What is in memory is on the disk a moment later.
  await operator.stop();
  const args = ['-f', world.folder, '--state', world.state];
  expect(await planned(args, {})).toEqual({
    code: 0,
    writes: 0,
    says: expect.stringContaining('No changes: 2 unchanged.'),
  });
  await world.subscribe('loyalty', { events: ['OrderPlaced', 'OrderCompleted'] });
  const changed = await planned(args, {});
  expect(changed.code).toBe(2);
  expect(changed.says).toContain('+ binding of shop.loyalty to events by order.completed');
  await world.unsubscribe('loyalty');
  await world.subscribe('payment', { events: ['OrderPlaced'] });
  expect((await planned([...args, '--prune'], {})).says).toContain('shop/loyalty will be deleted');
  // Nobody knows the Secret here: the broker of the environment stands in.
  const alone = ['-f', world.folder, '--offline'];
  const bySecret = await planned(args, { RABBITMQ_URL: 'amqp://me:secret@127.0.0.1:1' });
  expect(bySecret.code).toBe(2);
  expect(bySecret.says).toMatch(/^EventBroker .*\(http:\/\/[^@]+, by the Secret .*\)$/m);
  expect((await planned(alone, {})).says).toContain('(or set RABBITMQ_URL)');
  const named = { RABBITMQ_URL: broker.amqpUrl, RABBITMQ_MANAGEMENT_URL: broker.managementUrl };
  const byEnvironment = await planned(alone, named);
  expect(byEnvironment.code).toBe(2);
  expect(byEnvironment.says).toMatch(/^EventBroker .*\(http:\/\/[^@]+, by RABBITMQ_URL\)$/m);
});

async function warren(args: readonly string[], input: string, env: Record<string, string>) {
  const child = spawn(join(ROOT, 'operator/src/main.ts'), args, {
    env: { ...process.env, HOME: '/', ...env },
  });
  let says = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (says += chunk.toString()));
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number];
  return { code, says };
}

test('as a command it reads the standard input, and its exit code tells a pipeline what it found', async () => {
  await using broker = await testBroker();
  const env = { KUBECONFIG: '', RABBITMQ_URL: broker.amqpUrl, RABBITMQ_MANAGEMENT_URL: broker.managementUrl };
  const good = stringify(subscription('loyalty', 'shop', { events: ['OrderPlaced'] }));
  const changes = await warren(['plan', '-f', '-'], good, env);
  expect(changes).toMatchObject({ code: 2, says: expect.stringContaining('Plan: 1 to create') });
  expect(changes.says).not.toContain('\u001b');
  const mistaken = await warren(['plan', '-f', '-'], good.replace('OrderPlaced', 'order placed'), env);
  expect(mistaken).toMatchObject({
    code: 1,
    says: expect.stringMatching(/^standard input:\d+: spec\.events/m),
  });
  const misspelt = await warren(['plan', '--output', 'xml', '-f', '-'], good, env);
  expect(misspelt).toMatchObject({ code: 1, says: expect.stringContaining('--output is text or json') });
});
