/** A process that lists and watches what server.ts holds, with our reflector or with client-node's informer; prints what it took. */
import { CustomObjectsApi, KubeConfig, makeInformer } from '@kubernetes/client-node';
import type { KubernetesObject } from '@kubernetes/client-node';
import { createCluster, createReflector } from '@warren/controller';

const [which, server = '', count = '0'] = process.argv.slice(2);
const kubeConfig = new KubeConfig();
kubeConfig.loadFromClusterAndUser({ name: 'bench', server, skipTLSVerify: true }, { name: 'bench' });
const megabytes = (bytes: number) => Math.round(bytes / 1e6);

globalThis.gc?.();
const before = process.memoryUsage();
const begun = performance.now();
let keep: unknown;
let stop: () => Promise<void>;
if (which === 'ours') {
  const cluster = createCluster({ kubeConfig, fieldManager: 'bench' });
  const reflector = createReflector({
    resource: cluster.resource({
      group: 'example.com',
      version: 'v1',
      kind: 'Subscription',
      plural: 'subscriptions',
      namespaced: true,
    }),
  });
  reflector.start();
  await reflector.synced;
  if (reflector.store.size !== Number(count)) throw new Error('not everything was listed');
  keep = reflector;
  stop = async () => {
    await reflector.stop();
    await cluster.close();
  };
} else {
  const api = kubeConfig.makeApiClient(CustomObjectsApi);
  const path = '/apis/example.com/v1/subscriptions';
  const list = () =>
    api.listClusterCustomObject({ group: 'example.com', version: 'v1', plural: 'subscriptions' });
  const informer = makeInformer<KubernetesObject>(kubeConfig, path, list as never);
  await informer.start();
  if (informer.list().length !== Number(count)) throw new Error('not everything was listed');
  keep = informer;
  stop = () => informer.stop();
}
const syncMs = Math.round(performance.now() - begun);
const { rss } = process.memoryUsage();
globalThis.gc?.();
const live = process.memoryUsage().heapUsed - before.heapUsed;
console.log(
  JSON.stringify({
    syncMs,
    rssMb: megabytes(rss),
    addedRssMb: megabytes(rss - before.rss),
    liveMb: megabytes(live),
  }),
);
await stop();
process.exit(keep === undefined ? 1 : 0);
