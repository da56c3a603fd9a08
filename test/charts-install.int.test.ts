/**
 * The charts on a real API server (without nodes: objects are made, pods do not run): what the operator may do and may not,
 * that it can do all of its work with that, and that upgrade, rollback and uninstall leave what they must.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import { parse, stringify } from 'yaml';
import { ManagedProcess, type LogRecord } from '../scripts/managed-process.ts';
import { chartTools, charts, root, type Chart, type Tools } from './support/helm.ts';

const unique = `test-install-${process.pid}`;
/** Where the operator is, where subscriptions are, and where nothing of it is to be. */
const home = `${unique}-system`;
const shop = `${unique}-shop`;
const elsewhere = `${unique}-else`;

let tools: Tools;

beforeAll(async () => {
  tools = await chartTools();
  await kubectl(['apply', '--server-side', '--force-conflicts', '--filename=charts/warren/crds']);
  for (const namespace of [home, shop, elsewhere]) await kubectl(['create', 'namespace', namespace]);
}, 900_000);

afterAll(async () => {
  await kubectl(['delete', 'namespace', home, shop, elsewhere, '--wait=false']);
});

async function kubectl(args: readonly string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await tools.kubectl(args, input === undefined ? {} : { input });
  if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr}`);
  return stdout.trim();
}

async function helm(args: readonly string[], values?: object): Promise<string> {
  const { code, stdout, stderr } = await tools.helm(args, values === undefined ? {} : { values });
  if (code !== 0) throw new Error(`helm ${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** A release that is gone at the end of the block. */
async function installed(
  chart: Chart,
  release: string,
  namespace: string,
  values: object,
): Promise<AsyncDisposable> {
  await helm(['install', release, charts[chart], '--namespace', namespace], values);
  return {
    [Symbol.asyncDispose]: async () => {
      await helm(['uninstall', release, '--namespace', namespace, '--ignore-not-found']);
    },
  };
}

const operator = `system:serviceaccount:${home}:warren`;

/** Of `verb resource#subresource namespace` (`-`: all of them), those that the user may. */
async function granted(user: string, questions: readonly string[]): Promise<string[]> {
  const answers = await Promise.all(
    questions.map(async (question) => {
      const [verb = '', resource = '', where = '-'] = question.split(' ');
      const scope = where === '-' ? ['--all-namespaces'] : ['--namespace', where];
      const [type = '', subresource] = resource.split('#');
      const what = subresource === undefined ? [type] : [type, `--subresource=${subresource}`];
      const { stdout } = await tools.kubectl(['auth', 'can-i', verb, ...what, ...scope, `--as=${user}`]);
      return { question, may: stdout.trim() === 'yes' };
    }),
  );
  return answers.filter(({ may }) => may).map(({ question }) => question);
}

const workIn = (namespace: string) => [
  `list eventsubscriptions ${namespace}`,
  `watch eventsubscriptions ${namespace}`,
  `patch eventsubscriptions ${namespace}`,
  `patch eventsubscriptions#status ${namespace}`,
  `list eventpublishers ${namespace}`,
  `watch eventpublishers ${namespace}`,
  `patch eventpublishers ${namespace}`,
  `patch eventpublishers#status ${namespace}`,
  `list secrets ${namespace}`,
  `create secrets ${namespace}`,
  `patch secrets ${namespace}`,
  `create events.events.k8s.io ${namespace}`,
];
const always = [
  'list eventbrokers -',
  'patch eventbrokers#status -',
  `update leases ${home}`,
  `create events.events.k8s.io default`,
  `get secrets/rabbitmq ${home}`,
];
const never = [
  'patch eventbrokers -',
  'delete eventbrokers -',
  `create eventsubscriptions ${shop}`,
  `delete eventsubscriptions ${shop}`,
  `create eventpublishers ${shop}`,
  `delete eventpublishers ${shop}`,
  `delete secrets ${shop}`,
  `update secrets ${shop}`,
  `get configmaps ${shop}`,
  `get pods ${shop}`,
  `create pods ${shop}`,
  `patch deployments ${shop}`,
  `update leases ${shop}`,
  'list namespaces -',
  'delete namespaces -',
  'create clusterrolebindings -',
  'impersonate users -',
];

describe('the operator', () => {
  const values = (scope: object) => ({
    scope,
    brokers: [{ name: unique, secretRef: { name: 'rabbitmq' }, allowedNamespaces: [shop] }],
  });

  test('of one namespace works there and reads one Secret of its own namespace, and nothing else', async () => {
    await using _ = await installed('warren', 'warren', home, values({ namespace: shop }));
    const may = [...always, ...workIn(shop), `get namespaces/${shop} -`];
    const mayNot = [
      ...never,
      ...workIn(elsewhere),
      ...workIn('-'),
      `get secrets ${home}`,
      `list secrets ${home}`,
      `get namespaces/${elsewhere} -`,
    ];
    expect(await granted(operator, [...may, ...mayNot])).toEqual(may);
  });

  test('of the cluster works in every namespace, and may no more there', async () => {
    await using _ = await installed('warren', 'warren', home, values({ mode: 'Cluster' }));
    const may = [...always, ...workIn('-'), ...workIn(elsewhere), `get namespaces/${elsewhere} -`];
    expect(await granted(operator, [...may, ...never])).toEqual(may);
  });

  test('that scales may read workloads and make autoscalers where it works, and serve external metrics', async () => {
    const scaling = { enabled: true, apiService: false };
    await using _ = await installed('warren', 'warren', home, { ...values({ namespace: shop }), scaling });
    const scalingIn = (namespace: string) => [
      `list deployments.apps ${namespace}`,
      `watch statefulsets.apps ${namespace}`,
      `patch deployments.apps#scale ${namespace}`,
      `patch statefulsets.apps#scale ${namespace}`,
      `create horizontalpodautoscalers.autoscaling ${namespace}`,
      `delete horizontalpodautoscalers.autoscaling ${namespace}`,
    ];
    const may = [
      ...always,
      ...workIn(shop),
      ...scalingIn(shop),
      'create subjectaccessreviews.authorization.k8s.io -',
      'patch apiservices.apiregistration.k8s.io/v1beta1.external.metrics.k8s.io -',
      'get configmaps/extension-apiserver-authentication kube-system',
      `update secrets/warren-external-metrics ${home}`,
    ];
    const mayNot = [
      ...never,
      ...scalingIn(elsewhere),
      'patch apiservices.apiregistration.k8s.io -',
      'get configmaps kube-system',
      `update secrets ${home}`,
      `list secrets ${home}`,
      `create tokenreviews.authentication.k8s.io -`,
    ];
    expect(await granted(operator, [...may, ...mayNot])).toEqual(may);
  });

  test('that scales does so with the rights of its chart', async () => {
    const scope = { namespace: shop };
    const scaling = { enabled: true, apiService: false };
    await using broker = await testBroker();
    await using _release = await installed('warren', 'warren', home, { ...values(scope), scaling });
    await using _secret = await brokerSecret(broker);
    await using process = await operatorProcess(scope, { scaling });
    const name = 'scaled';
    const labels = { app: name };
    const template = { metadata: { labels }, spec: { containers: [{ name, image: 'none' }] } };
    const metadata = { name, namespace: shop };
    for (const manifest of [
      {
        ...{ apiVersion: 'apps/v1', kind: 'Deployment', metadata },
        spec: { replicas: 0, selector: { matchLabels: labels }, template },
      },
      {
        ...{ apiVersion: 'warren.events/v1alpha1', kind: 'EventSubscription', metadata },
        spec: {
          ...{ events: ['OrderPlaced'], brokerRef: { name: unique }, deletionPolicy: 'Delete' },
          ...{ consumer: { name }, scaling: { minReplicas: 0, engine: 'Hpa' } },
        },
      },
    ])
      await kubectl(['create', '--filename=-'], stringify(manifest));
    const read = (kind: string, path: string, where = shop) =>
      kubectl(['get', kind, '--namespace', where, '--ignore-not-found', '-o', `jsonpath=${path}`]);
    await eventually(async () => (await read('hpa/scaled-scaling', '{.spec.maxReplicas}')) === '10', {
      intervalMs: 200,
    });
    await eventually(async () => await read('secret/warren-external-metrics', '{.data.ca\\.crt}', home), {
      intervalMs: 200,
    });
    // No APIService leads here, which is said.
    const reason = '{.status.conditions[?(@.type=="Scaling")].reason}';
    await eventually(async () => /^MetricsApi/.test(await read('esub/scaled', reason)), {
      ...{ intervalMs: 200, timeoutMs: 40_000 },
    });
    await kubectl(['delete', 'esub,deployment', name, '--namespace', shop, '--timeout=30s']);
    expect(process.refused()).toEqual([]);
  }, 120_000);

  test('lets those who view a namespace see its subscriptions, and those who edit it change them', async () => {
    await using _ = await installed('warren', 'warren', home, values({ namespace: shop }));
    for (const role of ['view', 'edit']) {
      const name = `${home}-warren-${role}`;
      const labels = JSON.parse(
        await kubectl(['get', 'clusterrole', name, '-o', 'jsonpath={.metadata.labels}']),
      ) as object;
      expect(labels).toMatchObject({ [`rbac.authorization.k8s.io/aggregate-to-${role}`]: 'true' });
      await kubectl([
        'create',
        'rolebinding',
        role,
        `--clusterrole=${name}`,
        `--user=${role}`,
        '--namespace',
        shop,
      ]);
    }
    const questions = [`get eventsubscriptions ${shop}`, `create eventsubscriptions ${shop}`];
    expect(await granted('view', questions)).toEqual(questions.slice(0, 1));
    expect(await granted('edit', questions)).toEqual(questions.slice(1));
  });

  // One of the cluster would also take over what other tests have on this API server.
  test('of one namespace does all of its work with the rights of its chart', async () => {
    const scope = { namespace: shop };
    await using broker = await testBroker();
    await using _release = await installed('warren', 'warren', home, values(scope));
    await using _secret = await brokerSecret(broker);
    await using foreign = await foreignBroker();
    await using process = await operatorProcess(scope);
    const name = 'rights';
    await kubectl(
      ['apply', '--filename=-'],
      stringify({
        apiVersion: 'warren.events/v1alpha1',
        kind: 'EventSubscription',
        metadata: { name, namespace: shop },
        spec: { events: ['OrderPlaced'], brokerRef: { name: unique }, deletionPolicy: 'Delete' },
      }),
    );
    const subscription = ['get', 'esub', name, '--namespace', shop, '-o'];
    const ready = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}';
    await eventually(async () => (await kubectl([...subscription, ready])) === 'True', { intervalMs: 200 });
    const binding = await kubectl([
      'get',
      'secret',
      `${name}-binding`,
      '--namespace',
      shop,
      '-o',
      'jsonpath={.type}',
    ]);
    expect(binding).toBe('servicebinding.io/rabbitmq');
    // The story of the subscription, and that of the broker, which has no namespace.
    for (const [namespace, regarding] of [
      [shop, name],
      ['default', unique],
    ] as const)
      await eventually(
        async () =>
          (await kubectl(['get', 'events.events.k8s.io', '--namespace', namespace, '-o', 'name'])).includes(
            `/${regarding}.`,
          ),
        { intervalMs: 200 },
      );
    // Without its finalizer taken off by the operator it would stay.
    await kubectl(['delete', 'esub', name, '--namespace', shop, '--timeout=30s']);
    expect(process.refused()).toEqual([]);
    // Another operator's: ours has no right to its Secret, and must not say that it is broken.
    expect(await foreign.status()).toBe('');
  }, 120_000);
});

async function brokerSecret(broker: { amqpUrl: string; managementUrl: string }): Promise<AsyncDisposable> {
  const data = { uri: broker.amqpUrl, 'management-uri': broker.managementUrl };
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'rabbitmq', namespace: home },
    stringData: data,
  };
  await kubectl(['create', '--filename=-'], stringify(secret));
  return {
    [Symbol.asyncDispose]: async () => {
      await kubectl(['delete', 'secret', 'rabbitmq', '--namespace', home]);
    },
  };
}

/** A broker for another namespace, which the operator's own rights do not reach. */
async function foreignBroker(): Promise<AsyncDisposable & { status(): Promise<string> }> {
  const name = `${unique}-foreign`;
  const spec = { secretRef: { namespace: elsewhere, name: 'rabbitmq' }, allowedNamespaces: [elsewhere] };
  const broker = { apiVersion: 'warren.events/v1alpha1', kind: 'EventBroker', metadata: { name }, spec };
  await kubectl(['create', '--filename=-'], stringify(broker));
  return {
    status: () => kubectl(['get', 'eventbroker', name, '-o', 'jsonpath={.status}']),
    [Symbol.asyncDispose]: async () => {
      await kubectl(['delete', 'eventbroker', name]);
    },
  };
}

/** The operator as the chart's pod would run it, with the token of the chart's service account. */
async function operatorProcess(
  scope: object,
  more: object = {},
): Promise<AsyncDisposable & { refused(): string[] }> {
  const token = await kubectl(['create', 'token', 'warren', '--namespace', home]);
  const folder = mkdtempSync(join(tmpdir(), 'warren-rights-'));
  const config = parse(readFileSync(tools.kubeconfig, 'utf8')) as { users: { user: object }[] };
  for (const user of config.users) user.user = { token };
  writeFileSync(join(folder, 'kubeconfig'), stringify(config), { mode: 0o600 });
  const [deployment] = (await tools.template('warren', { scope, ...more }, { namespace: home })).filter(
    ({ kind }) => kind === 'Deployment',
  );
  interface Container {
    args: string[];
    env: { name: string; value?: string }[];
  }
  const { containers } = (deployment!.spec!['template'] as { spec: { containers: Container[] } }).spec;
  const given = containers[0]!.env.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value]]));
  const records: LogRecord[] = [];
  const operator = new ManagedProcess({
    name: 'operator',
    cwd: root,
    args: [
      '--conditions=warren-source',
      '--disable-warning=ExperimentalWarning',
      'operator/src/main.ts',
      ...containers[0]!.args,
    ],
    env: {
      ...(Object.fromEntries(given) as Record<string, string>),
      ...{ KUBECONFIG: join(folder, 'kubeconfig'), OPERATOR_NAMESPACE: home },
      ...{ OPERATOR_PORT: '0', EXTERNAL_METRICS_PORT: '0' },
    },
    logDir: folder,
    onLog: (_, record) => records.push(record),
  });
  operator.start();
  return {
    refused: () => records.map((record) => JSON.stringify(record)).filter((line) => /forbidden/i.test(line)),
    [Symbol.asyncDispose]: async () => {
      await operator.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

describe('a release', () => {
  const uids = async () => {
    const objects = await kubectl([
      ...['get', 'esub,deployments,services', '--namespace', shop],
      ...['-o', 'jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.uid}{"\\n"}{end}'],
    ]);
    return objects.split('\n').sort();
  };
  const spec = (kind: string, name: string, path: string) =>
    kubectl(['get', kind, name, '--namespace', shop, '-o', `jsonpath={.spec.${path}}`]);

  test('of the shop is upgraded and rolled back in place: no subscription is ever made anew', async () => {
    await using _ = await installed('shop', 'shop', shop, {});
    const before = await uids();
    expect(before).toHaveLength(5 + 6 + 6);
    await helm(['upgrade', 'shop', charts.shop, '--namespace', shop], {
      service: { image: { tag: '0.2.0' } },
      services: { loyalty: { subscriptions: { loyalty: { delivery: { prefetch: 10 } } } } },
    });
    expect(await uids()).toEqual(before);
    expect(await spec('deployment', 'order', 'template.spec.containers[0].image')).toBe('warren/order:0.2.0');
    expect(await spec('esub', 'loyalty', 'delivery.prefetch')).toBe('10');
    await helm(['rollback', 'shop', '1', '--namespace', shop]);
    expect(await uids()).toEqual(before);
    expect(await spec('deployment', 'order', 'template.spec.containers[0].image')).toBe('warren/order:0.1.0');
    expect(await spec('esub', 'loyalty', 'delivery.prefetch')).toBe('50');
  });

  test('leaves the CRDs, and every subscription that it did not make, when it is uninstalled', async () => {
    {
      await using _ = await installed('warren', 'warren', home, { brokers: [] });
      await kubectl(
        ['create', '--filename=-'],
        stringify({
          apiVersion: 'warren.events/v1alpha1',
          kind: 'EventSubscription',
          metadata: { name: 'kept', namespace: elsewhere },
          spec: { events: ['OrderPlaced'] },
        }),
      );
    }
    expect(await kubectl(['get', 'esub', 'kept', '--namespace', elsewhere, '-o', 'name'])).toContain('kept');
    // What hangs from a Deployment is collected after it.
    const left = () => {
      const [what, label] = ['all,sa,role,rolebinding,pdb,netpol', 'app.kubernetes.io/part-of=warren'];
      return kubectl(['get', what, '-l', label, '--namespace', home, '-o', 'name']);
    };
    await eventually(async () => (await left()) === '', { intervalMs: 200 });
    await kubectl(['delete', 'esub', 'kept', '--namespace', elsewhere]);
  });
});
