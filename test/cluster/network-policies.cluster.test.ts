/** Who reaches whom, where NetworkPolicies are enforced: asked from inside the pods, by connecting. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { currentCluster } from '@warren/environment';
import { eventuallyHolds } from '../support/eventually.ts';
import { clusterShop, restrictedPod, SHOP, SYSTEM, type ClusterShop } from './support.ts';

const enforced = currentCluster().networkPolicies ? test : test.skip;

const BROKER = 'rabbitmq.warren-system:5672';
const MANAGEMENT = 'rabbitmq.warren-system:15672';
const BROKER_METRICS = 'rabbitmq.warren-system:15692';
const DATABASE = 'mongodb.shop:27017';
const MAIL = 'mail.shop:1025';
const ORDER = 'order.shop:80';
const API_SERVER = 'kubernetes.default:443';

/** A packet that no rule lets through gets no answer. */
const PATIENCE_MS = 3_000;
const CONNECT = `
  const connect = (target) => new Promise((resolve) => {
    const [host, port] = target.split(':');
    const socket = require('node:net').connect({ host, port: Number(port), timeout: ${PATIENCE_MS} });
    const end = (how) => { socket.destroy(); resolve([target, how]); };
    socket.once('connect', () => end('open'));
    socket.once('timeout', () => end('no answer'));
    socket.once('error', (error) => end(error.code));
  });
  Promise.all(process.argv.slice(1).map(connect)).then((all) => console.log(JSON.stringify(Object.fromEntries(all))));
`;

const STRANGER = { name: 'stranger', namespace: 'strangers' };
const MONITOR = { name: 'monitor', namespace: 'monitoring' };
const VISITORS = [STRANGER, MONITOR];
const idling = { command: ['node', '--eval', 'setInterval(() => {}, 60_000)'] };

let shop: ClusterShop;

beforeAll(async () => {
  shop = await clusterShop();
  for (const metadata of VISITORS)
    await shop.apply(
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: metadata.namespace } },
      { ...restrictedPod(metadata.name, idling), metadata },
    );
  for (const { name, namespace } of VISITORS)
    await shop.kubectl([
      ...['wait', `pod/${name}`, '--namespace', namespace],
      ...['--for=condition=Ready', '--timeout=60s'],
    ]);
}, 900_000);

afterAll(async () => {
  await shop.kubectl(['delete', 'namespace', ...VISITORS.map(({ namespace }) => namespace), '--timeout=90s']);
}, 120_000);

/** How connecting ends, by target: `open`, `no answer`, or the code of what went wrong. */
async function reached(namespace: string, pod: string, targets: readonly string[]): Promise<object> {
  const said = await shop.kubectl([
    ...['exec', pod, '--namespace', namespace, '--'],
    ...['node', '--eval', CONNECT, ...targets],
  ]);
  return JSON.parse(said) as object;
}

/** Asks until all is as expected: a pod that is just being replaced answers nobody. */
async function expectReach(
  [namespace, pod]: readonly [string, string],
  { open, closed }: { open: readonly string[]; closed: readonly string[] },
): Promise<void> {
  const all = [...open, ...closed];
  const expected = Object.fromEntries(
    all.map((target) => [target, open.includes(target) ? 'open' : 'no answer']),
  );
  await eventuallyHolds(async () => expect(await reached(namespace, pod, all)).toEqual(expected), {
    timeoutMs: 30_000,
  });
}

enforced(
  'from another namespace nobody reaches the broker, the database or a service',
  async () => {
    await expectReach([STRANGER.namespace, STRANGER.name], {
      open: [API_SERVER],
      closed: [BROKER, MANAGEMENT, BROKER_METRICS, DATABASE, MAIL, ORDER],
    });
  },
  90_000,
);

enforced(
  'Prometheus reaches the metrics of services and broker, and no database',
  async () => {
    await expectReach([MONITOR.namespace, MONITOR.name], {
      open: [ORDER, BROKER_METRICS],
      closed: [DATABASE, MAIL],
    });
  },
  90_000,
);

enforced(
  'a service reaches the broker and its database, and the mail server only where it sends mail',
  async () => {
    await expectReach([SHOP, 'deployment/loyalty'], {
      open: [BROKER, DATABASE],
      closed: [MANAGEMENT, MAIL, API_SERVER],
    });
    await expectReach([SHOP, 'deployment/notification'], {
      open: [BROKER, DATABASE, MAIL],
      closed: [MANAGEMENT, API_SERVER],
    });
  },
  90_000,
);

enforced(
  'the operator reaches the API server and the broker, and nothing of the shop',
  async () => {
    await expectReach([SYSTEM, 'deployment/warren'], {
      open: [API_SERVER, BROKER, MANAGEMENT],
      closed: [DATABASE, MAIL, ORDER],
    });
  },
  90_000,
);
