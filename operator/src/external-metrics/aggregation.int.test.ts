import { connect } from 'node:tls';
import type { DetailedPeerCertificate, PeerCertificate } from 'node:tls';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { request } from 'node:https';
import { expect, test } from '@jest/globals';
import { resources } from '@warren/controller';
import type { Cluster, KubernetesObject } from '@warren/controller';
import { dedicatedKubernetes, eventually, testBroker } from '@warren/environment/testing';
import { kubernetesWorld } from '../testing/kubernetes-world.ts';
import type { KubernetesWorld } from '../testing/kubernetes-world.ts';
import { deployment, leadMetricsTo, SERVICE, startScalingOperator } from '../testing/scaling-world.ts';

/** What waits for several control loops, each of which looks every few seconds. Probes start processes, so not too often. */
const soon = <T>(probe: () => Promise<T> | T) => eventually(probe, { timeoutMs: 90_000, intervalMs: 200 });

const ROOT = '/apis/external.metrics.k8s.io/v1beta1';

interface Answer {
  status: number;
  body: { kind: string; message?: string; items?: { value: string }[] };
}

/** Straight to the operator, past the API server. */
function ask(port: number, path: string, options: Record<string, unknown> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request(
      { host: '127.0.0.1', port, path, rejectUnauthorized: false, agent: false, ...options },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as Answer['body'] }),
        );
      },
    );
    call.once('error', reject).end();
  });
}

function servedBy(port: number): Promise<PeerCertificate | DetailedPeerCertificate> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate());
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

async function isAvailable(cluster: Cluster): Promise<boolean> {
  const path = '/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io';
  const { status } = (await cluster.request({ method: 'GET', path })) as {
    status?: { conditions?: { type: string; status: string }[] };
  };
  return status?.conditions?.some((one) => one.type === 'Available' && one.status === 'True') === true;
}

const raw = (world: KubernetesWorld, ...as: string[]) =>
  world.kubectl(
    ...[
      'get',
      '--raw',
      `${ROOT}/namespaces/${world.namespace}/warren-desired-replicas?labelSelector=subscription%3Dloyalty`,
    ],
    ...as,
  );

test('the API server is believed, and nobody else; RBAC says who may read; certificates change under way', async () => {
  await using kubernetes = await dedicatedKubernetes();
  await using broker = await testBroker();
  await using world = await kubernetesWorld(kubernetes.kubeconfig, broker);
  const lifetimes = { authorityMs: 200_000, servingMs: 30_000 };
  await using operator = await startScalingOperator(kubernetes.kubeconfig, world, { lifetimes });
  await leadMetricsTo(world.cluster, world.namespace, operator.port);
  await deployment(world.cluster, world.namespace, 'loyalty', 2);
  await world.subscribe('loyalty', {
    ...{ events: ['OrderPlaced'], consumer: { name: 'loyalty' }, scaling: { engine: 'Hpa' } },
  });
  await soon(async () => await isAvailable(world.cluster));
  const isAnswered = async () => {
    expect(await raw(world)).toContain('"value":"2"');
    return true;
  };
  await soon(isAnswered);
  expect(await world.kubectl('get', '--raw', ROOT)).toContain('warren-desired-replicas');

  // A user of whom RBAC knows nothing, and then that he may read this metric here.
  expect(await raw(world, '--as=jane')).toContain('Forbidden');
  const rule = {
    apiGroups: ['external.metrics.k8s.io'],
    resources: ['warren-desired-replicas'],
    verbs: ['list'],
  };
  const metadata = { name: 'metrics', namespace: world.namespace };
  const rbac = 'rbac.authorization.k8s.io';
  await world.cluster.apply({
    apiVersion: `${rbac}/v1`,
    kind: 'Role',
    metadata,
    rules: [rule],
  } as KubernetesObject);
  await world.cluster.apply({
    ...{ apiVersion: `${rbac}/v1`, kind: 'RoleBinding', metadata },
    roleRef: { apiGroup: rbac, kind: 'Role', name: 'metrics' },
    subjects: [{ apiGroup: rbac, kind: 'User', name: 'jane' }],
  } as KubernetesObject);
  await soon(async () => (await raw(world, '--as=jane')).includes('"value":"2"'));

  // Past the API server nobody gets in, whatever he says of himself.
  const headers = { 'x-remote-user': 'admin', 'x-remote-group': 'system:masters' };
  const path = `${ROOT}/namespaces/${world.namespace}/warren-desired-replicas?labelSelector=subscription%3Dloyalty`;
  expect(await ask(operator.port, path, { headers })).toMatchObject({
    status: 401,
    body: { kind: 'Status' },
  });
  const data = dirname(kubernetes.kubeconfig);
  const own = (
    await world.cluster
      .resource<KubernetesObject & { data: Record<string, string> }>(resources.secrets)
      .get({ namespace: world.namespace, name: `${SERVICE}-external-metrics` })
  ).data;
  const pem = (key: string) => Buffer.from(own[key] ?? '', 'base64').toString();
  const impostor = { cert: pem('tls.crt'), key: pem('tls.key'), headers };
  expect((await ask(operator.port, path, impostor)).status).toBe(401);
  const proxy = {
    cert: await readFile(join(data, 'front-proxy.crt'), 'utf8'),
    key: await readFile(join(data, 'front-proxy.key'), 'utf8'),
  };
  expect(await ask(operator.port, path, { ...proxy, headers })).toMatchObject({ status: 200 });
  expect((await ask(operator.port, path, proxy)).status).toBe(401);
  expect(await ask(operator.port, path, { ...proxy, headers: { 'x-remote-user': 'mallory' } })).toMatchObject(
    {
      status: 403,
      body: { message: expect.stringContaining('mallory') },
    },
  );

  // Another certificate is served, and nobody notices.
  const before = await servedBy(operator.port);
  await soon(async () => {
    expect(await raw(world)).toContain('"value":"2"');
    return (await servedBy(operator.port)).serialNumber !== before.serialNumber;
  });
  await soon(isAnswered);
  expect(await isAvailable(world.cluster)).toBe(true);

  // Gone or damaged, it is made again, and the API server told.
  await world.kubectl('delete', 'secret', `${SERVICE}-external-metrics`);
  await soon(async () => (await world.secret(`${SERVICE}-external-metrics`))?.['tls.crt']);
  await soon(isAnswered);

  // Who is to be believed changes without a restart, also for connections that are open.
  const authentication = { namespace: 'kube-system', name: 'extension-apiserver-authentication' };
  const configMaps = world.cluster.resource<KubernetesObject & { data: Record<string, string> }>(
    resources.configMaps,
  );
  await configMaps.mergePatch(authentication, { data: { 'requestheader-allowed-names': '["other"]' } });
  await soon(async () => (await ask(operator.port, path, { ...proxy, headers })).status === 401);
}, 240_000);

test('an APIService of somebody else’s is not touched, and the status says who has it', async () => {
  await using kubernetes = await dedicatedKubernetes();
  await using broker = await testBroker();
  await using world = await kubernetesWorld(kubernetes.kubeconfig, broker);
  await using _operator = await startScalingOperator(kubernetes.kubeconfig, world);
  await deployment(world.cluster, world.namespace, 'loyalty', 2);
  await world.subscribe('loyalty', {
    ...{ events: ['OrderPlaced'], consumer: { name: 'loyalty' }, scaling: { engine: 'Hpa' } },
  });
  const said = async () =>
    (await world.get('loyalty'))?.status?.conditions?.find(({ type }) => type === 'Scaling');
  await soon(async () => (await said())?.reason === 'MetricsApiMissing');
  await leadMetricsTo(world.cluster, 'kube-system', 1);
  await soon(async () => (await said())?.reason === 'MetricsApiTaken');
  expect((await said())?.message).toContain('kube-system/warren');
  const path = '/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io';
  expect(JSON.stringify(await world.cluster.request({ method: 'GET', path }))).not.toContain('caBundle');
}, 240_000);
