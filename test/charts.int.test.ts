/**
 * The charts: rendered by the real helm over a matrix of values, looked at, and taken by a real API server that enforces
 * restricted Pod Security (server-side dry run: nothing is made).
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { chartFiles } from '../scripts/charts.ts';
import { digest, matrix, type Given } from './support/chart-values.ts';
import { chartTools, charts, root, succeed, type Chart, type Tools } from './support/helm.ts';
import {
  looseEnds,
  nameOf,
  ofKind,
  podTemplates,
  selected,
  selectorOf,
  type Manifest,
} from './support/manifests.ts';

const namespace = `test-charts-${process.pid}`;

let tools: Tools;
let rendered: (Given & { manifests: Manifest[] })[];

beforeAll(async () => {
  tools = await chartTools();
  await succeed('kubectl', ['apply', '--server-side', '--force-conflicts', '--filename=charts/warren/crds'], {
    env: { KUBECONFIG: tools.kubeconfig },
  });
  const restricted = ['enforce', 'warn']
    .map((mode) => `    pod-security.kubernetes.io/${mode}: restricted`)
    .join('\n');
  const { code, stderr } = await tools.kubectl(['create', '--filename=-'], {
    input: `apiVersion: v1\nkind: Namespace\nmetadata:\n  name: ${namespace}\n  labels:\n${restricted}\n`,
  });
  if (code !== 0) throw new Error(stderr);
  rendered = await Promise.all(
    matrix.map(async (one) => ({
      ...one,
      manifests: await tools.template(one.chart, one.values, { namespace }),
    })),
  );
}, 900_000);

afterAll(async () => {
  await tools.kubectl(['delete', 'namespace', namespace, '--wait=false']);
});

const everywhere = (look: (manifests: Manifest[], name: string) => void) => {
  for (const { name, manifests } of rendered) look(manifests, name);
};

describe('what is written down', () => {
  test('the charts hold what its sources say: npm run charts', async () => {
    for (const [path, content] of await chartFiles())
      expect({ path, content: readFileSync(join(root, path), 'utf8') }).toEqual({ path, content });
  });

  test('the versions of the charts are that of the project', () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    for (const chart of Object.values(charts))
      expect(readFileSync(join(root, chart, 'Chart.yaml'), 'utf8')).toContain(`\nversion: ${version}\n`);
  });
});

describe('helm', () => {
  test.each(Object.entries(charts))('finds nothing to say about %s', async (_, path) => {
    const { code, stdout, stderr } = await tools.helm(['lint', '--strict', '--kube-version', '1.36.0', path]);
    expect({ code, stdout, stderr: code === 0 ? '' : stderr }).toMatchObject({ code: 0 });
    expect(stdout).not.toMatch(/WARNING|ERROR/);
  });

  test.each<[Chart, object, string]>([
    ['warren', { replcas: 2 }, 'replcas'],
    ['warren', { replicas: '2' }, '/replicas'],
    ['warren', { image: { digset: digest } }, 'digset'],
    ['warren', { image: { digest: 'sha256:short' } }, '/image/digest'],
    ['warren', { scope: { mode: 'Everywhere' } }, '/scope/mode'],
    ['warren', { brokers: [{ name: 'a' }] }, 'secretRef'],
    [
      'warren',
      { brokers: [{ name: 'a', secretRef: { name: 'b' }, exchanges: { event: 'facts' } }] },
      '/brokers/0/exchanges',
    ],
    ['warren', { resyncSeconds: 60 }, '/resyncSeconds'],
    ['warren', { scaling: { enable: true } }, 'enable'],
    ['warren', { env: { 'lower-case': 1 } }, 'lower-case'],
    ['shop', { servces: {} }, 'servces'],
    ['shop', { service: { replicaCount: 3 } }, 'replicaCount'],
    ['shop', { services: { order: { replicaCount: 3 } } }, 'replicaCount'],
    ['shop', { services: { order: { probes: { rediness: {} } } } }, 'rediness'],
    ['shop', { services: { Order: {} } }, 'Order'],
    ['shop', { services: { order: { image: { digest: 'latest' } } } }, '/services/order/image/digest'],
    ['shop', { services: { order: { port: 80 } } }, '/services/order/port'],
    ['shop', { services: { extra: { subscriptions: { extra: { event: ['OrderPlaced'] } } } } }, 'event'],
    ['shop', { services: { extra: { subscriptions: { extra: {} } } } }, 'events'],
    ['shop', { services: { order: { subscriptions: { order: { delivery: { prefech: 1 } } } } } }, 'prefech'],
    [
      'shop',
      { services: { order: { subscriptions: { order: { delivery: { prefetch: 0 } } } } } },
      'prefetch',
    ],
  ])('refuses %s values %j and names %s', async (chart, values, said) => {
    const { code, stderr } = await tools.helm(['template', charts[chart], '--kube-version', '1.36.0'], {
      values,
    });
    expect(code).not.toBe(0);
    expect(stderr).toContain(said);
  });

  test('asks for the name of a service account that it is not to make', async () => {
    await expect(tools.template('warren', { serviceAccount: { create: false } })).rejects.toThrow(
      'serviceAccount.name',
    );
  });
});

describe('every pod', () => {
  test('is restricted, read-only and bounded', () => {
    const ends: string[] = [];
    everywhere((manifests, name) => {
      for (const { owner, pod } of podTemplates(manifests))
        ends.push(...looseEnds(pod).map((end) => `${name}: ${nameOf(owner)} ${end}`));
    });
    expect(ends).toEqual([]);
  });

  test('has no token of the API server, but the operator', () => {
    everywhere((manifests) => {
      for (const { owner, pod } of podTemplates(manifests))
        expect([nameOf(owner), pod.spec.automountServiceAccountToken]).toEqual([
          nameOf(owner),
          owner.metadata.labels?.['app.kubernetes.io/component'] === 'operator',
        ]);
      for (const account of ofKind(manifests, 'ServiceAccount'))
        expect(account).toMatchObject({ automountServiceAccountToken: false });
    });
  });

  test('is asked whether it lives on /livez and whether it is ready on /readyz', () => {
    everywhere((manifests) => {
      for (const { pod } of podTemplates(ofKind(manifests, 'Deployment')))
        expect(pod.spec.containers[0]).toMatchObject({
          startupProbe: { httpGet: { path: '/livez', port: 'http' } },
          livenessProbe: { httpGet: { path: '/livez', port: 'http' } },
          readinessProbe: { httpGet: { path: '/readyz', port: 'http' } },
        });
    });
  });

  test('gets longer to end than the service gives itself', () => {
    everywhere((manifests) => {
      for (const { pod } of podTemplates(ofKind(manifests, 'Deployment'))) {
        const deadline = pod.spec.containers[0]!.env?.find(
          ({ name }) => name === 'SHUTDOWN_DEADLINE_MS',
        )?.value;
        expect(pod.spec.terminationGracePeriodSeconds! * 1000).toBeGreaterThan(Number(deadline ?? 30_000));
      }
    });
  });

  test('has the service account that was made for it', () => {
    everywhere((manifests) => {
      const accounts = ofKind(manifests, 'ServiceAccount').map(({ metadata }) => metadata.name);
      for (const { pod } of podTemplates(ofKind(manifests, 'Deployment')))
        expect([...accounts, 'default']).toContain(pod.spec.serviceAccountName);
    });
  });
});

describe('what selects pods', () => {
  test('selects the pods of one deployment', () => {
    everywhere((manifests) => {
      for (const kind of ['Deployment', 'PodDisruptionBudget', 'Service', 'NetworkPolicy'])
        for (const manifest of ofKind(manifests, kind))
          expect({
            by: nameOf(manifest),
            selected: selected(manifests, selectorOf(manifest), manifest.metadata.namespace).map(nameOf),
          }).toEqual({ by: nameOf(manifest), selected: [`Deployment ${manifest.metadata.name}`] });
    });
  });

  test('never lets an unready pod hold up a drain', () => {
    everywhere((manifests) => {
      for (const { spec } of ofKind(manifests, 'PodDisruptionBudget'))
        expect(spec).toMatchObject({
          unhealthyPodEvictionPolicy: 'AlwaysAllow',
          maxUnavailable: expect.anything(),
        });
    });
  });

  test('has a port of the container for its target', () => {
    everywhere((manifests) => {
      for (const service of ofKind(manifests, 'Service')) {
        const owner = podTemplates(manifests).find(
          ({ owner: one }) => one.metadata.name === service.metadata.name,
        )!;
        const ports = owner.pod.spec.containers
          .flatMap((container) => container.ports ?? [])
          .map((port) => port.name);
        for (const { targetPort } of service.spec!['ports'] as { targetPort: string }[])
          expect(ports).toContain(targetPort);
      }
    });
  });

  test('leaves no pod without a budget and a network policy, unless told so', async () => {
    for (const chart of ['warren', 'shop'] as const) {
      const manifests = await tools.template(chart);
      const names = (kind: string) =>
        ofKind(manifests, kind)
          .map(({ metadata }) => metadata.name)
          .sort();
      expect(names('PodDisruptionBudget')).toEqual(names('Deployment'));
      expect(names('NetworkPolicy')).toEqual(names('Deployment'));
    }
  });
});

describe('images', () => {
  const images = (manifests: Manifest[]) =>
    Object.fromEntries(
      podTemplates(ofKind(manifests, 'Deployment')).map(({ owner, pod }) => [
        owner.metadata.name,
        pod.spec.containers[0]!.image,
      ]),
    );

  test('are those of the version of the chart', async () => {
    expect(images(await tools.template('warren'))).toEqual({ warren: 'warren/operator:0.1.0' });
    expect(images(await tools.template('shop'))).toMatchObject({ order: 'warren/order:0.1.0' });
  });

  test('a digest goes before a tag', async () => {
    const image = { registry: 'registry.example/team', tag: '9.9.9', digest };
    expect(images(await tools.template('warren', { image }))).toEqual({
      warren: `registry.example/team/warren/operator@${digest}`,
    });
    expect(
      images(
        await tools.template('shop', {
          service: { image: { registry: 'registry.example/team', tag: '9.9.9' } },
          services: { order: { image: { digest } } },
        }),
      ),
    ).toMatchObject({
      order: `registry.example/team/warren/order@${digest}`,
      payment: 'registry.example/team/warren/payment:9.9.9',
    });
  });
});

describe('a service', () => {
  const shop = async (services: object) => {
    const manifests = await tools.template('shop', { services });
    const find = (kind: string, name: string) =>
      manifests.find((one) => one.kind === kind && one.metadata.name === name);
    return { manifests, find };
  };

  test('is one entry: its deployment, its subscription and its binding follow', async () => {
    const { find } = await shop({
      bestsellers: { subscriptions: { bestsellers: { events: ['OrderPlaced'] } } },
    });
    expect(find('EventSubscription', 'bestsellers')).toMatchObject({
      spec: { events: ['OrderPlaced'], consumer: { kind: 'Deployment', name: 'bestsellers' } },
    });
    const { pod } = podTemplates([find('Deployment', 'bestsellers')!])[0]!;
    expect(pod.spec).toMatchObject({
      volumes: [{ name: 'binding-bestsellers', secret: { secretName: 'bestsellers-binding' } }],
      containers: [
        {
          image: 'warren/bestsellers:0.1.0',
          env: expect.arrayContaining([{ name: 'SERVICE_BINDING_ROOT', value: '/bindings' }]),
          volumeMounts: [{ name: 'binding-bestsellers', mountPath: '/bindings/bestsellers', readOnly: true }],
        },
      ],
    });
  });

  test('is one entry and one resource, where its subscription is made elsewhere', async () => {
    const { find } = await shop({ auditor: { bindings: ['audit'] } });
    expect(find('EventSubscription', 'audit')).toBeUndefined();
    const { pod } = podTemplates([find('Deployment', 'auditor')!])[0]!;
    expect(pod.spec).toMatchObject({ volumes: [{ secret: { secretName: 'audit-binding' } }] });
  });

  test('keeps the number of replicas that an autoscaler has given it', async () => {
    const scaling = { minReplicas: 1, maxReplicas: 5 };
    const { find } = await shop({ order: { subscriptions: { order: { scaling } } } });
    expect(find('Deployment', 'order')?.spec).not.toHaveProperty('replicas');
    expect(find('Deployment', 'notification')?.spec).not.toHaveProperty('replicas'); // by the chart's values
    expect(find('Deployment', 'payment')?.spec).toMatchObject({ replicas: 2 });
  });

  test('keeps it too where its subscription is made elsewhere and it says so', async () => {
    const { find } = await shop({
      auditor: { bindings: ['audit'] },
      archiver: { bindings: ['archive'], autoscaled: true },
    });
    expect(find('Deployment', 'auditor')?.spec).toMatchObject({ replicas: 2 });
    expect(find('Deployment', 'archiver')?.spec).not.toHaveProperty('replicas');
  });

  test('is gone with `enabled: false` and with null', async () => {
    for (const loyalty of [{ enabled: false }, null]) {
      const { manifests } = await shop({ loyalty });
      expect(manifests.filter(({ metadata }) => metadata.name === 'loyalty')).toEqual([]);
    }
  });

  test('finds the broker in its bindings; the one that only publishes in that of its EventPublisher', async () => {
    const { manifests } = await shop({});
    const pods = podTemplates(ofKind(manifests, 'Deployment'));
    const withUrl = pods.filter(({ pod }) =>
      pod.spec.containers[0]!.env?.some(({ name }) => name === 'RABBITMQ_URL'),
    );
    expect(withUrl).toEqual([]);
    expect(ofKind(manifests, 'EventPublisher').map(({ metadata, spec }) => [metadata.name, spec])).toEqual([
      ['user', { events: ['UserCreated'] }],
    ]);
    const user = pods.find(({ owner }) => owner.metadata.name === 'user');
    expect(JSON.stringify(user?.pod.spec)).toContain('"secretName":"user-binding"');
    await expect(shop({ order: { publisher: {} } })).rejects.toThrow(
      'services.order: a service that subscribes publishes by the binding',
    );
    await expect(shop({ user: { publisher: { event: ['UserCreated'] } } })).rejects.toThrow('event');
  });

  test('is the consumer of its subscriptions, and says so to whom names another', async () => {
    const subscriptions = { order: { consumer: { kind: 'StatefulSet', name: 'other' } } };
    await expect(shop({ order: { subscriptions } })).rejects.toThrow(
      'services.order.subscriptions.order.consumer: it is the service itself',
    );
  });

  test('a stop that would spend all of its time on waiting for load balancers is refused', async () => {
    await expect(shop({ order: { shutdown: { deadlineSeconds: 5 } } })).rejects.toThrow(
      'services.order: shutdown.delaySeconds is part of shutdown.deadlineSeconds',
    );
    await shop({ order: { shutdown: { deadlineSeconds: 6 } } });
  });
});

describe('metrics', () => {
  test('keep their own labels where Prometheus has the same of the target', () => {
    const endpoints: unknown[] = [];
    everywhere((manifests) => {
      for (const { spec } of ofKind(manifests, 'ServiceMonitor'))
        endpoints.push(...(spec!['endpoints'] as []));
    });
    expect(endpoints.length).toBeGreaterThan(1);
    for (const endpoint of endpoints) expect(endpoint).toMatchObject({ path: '/metrics', honorLabels: true });
  });
});

describe('the API server', () => {
  test('would take all of it, without a warning', async () => {
    for (const { name, manifests, needsMonitoring = false } of rendered) {
      // The Prometheus operator's resource is the one kind that this API server does not know.
      const known = manifests.filter(({ kind }) => kind !== 'ServiceMonitor');
      expect(known.length < manifests.length).toBe(needsMonitoring);
      // Pods need their ServiceAccount and node; what a Deployment's pods would violate is said as a warning.
      const warnings = await tools.dryRun(known.filter(({ kind }) => kind !== 'Pod'));
      expect({ name, warnings }).toEqual({ name, warnings: '' });
    }
  });

  test('would refuse a pod that is less than restricted, so the test above can fail', async () => {
    const [deployment] = ofKind(rendered[0]!.manifests, 'Deployment');
    const loose = structuredClone(deployment!);
    podTemplates([loose])[0]!.pod.spec.securityContext = {};
    await expect(tools.dryRun([loose])).resolves.toContain('would violate PodSecurity');
  });

  test('would take the pod of `helm test`', async () => {
    const shop = rendered.find(({ chart }) => chart === 'shop')!;
    const pods = ofKind(shop.manifests, 'Pod');
    expect(pods.map(({ metadata }) => metadata.name)).toEqual(['shop-smoke']);
    await expect(tools.dryRun(pods)).resolves.toBe('');
  });

  test.each<[Chart, string[]]>([
    [
      'warren',
      [
        'create secret generic rabbitmq',
        'kind: EventSubscription',
        'kubectl get esub',
        'kubectl apply --server-side',
      ],
    ],
    ['shop', ['kubectl --namespace', 'helm test', 'port-forward service/order']],
  ])('an install of %s would say what to do next', async (chart, steps) => {
    const { code, stdout, stderr } = await tools.helm(
      ['install', chart, charts[chart], '--namespace', namespace, '--dry-run=server'],
      {
        values:
          chart === 'warren'
            ? { brokers: [{ name: `${namespace}-notes`, secretRef: { name: 'rabbitmq' } }] }
            : {},
      },
    );
    if (code !== 0) throw new Error(stderr);
    const notes = stdout.slice(stdout.indexOf('\nNOTES:'));
    for (const step of steps) expect(notes).toContain(step);
  });
});
