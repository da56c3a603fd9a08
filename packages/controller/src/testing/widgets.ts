/**
 * For tests against a real API server: a custom resource of their own, Widget, with its client, and namespaces that are
 * gone afterwards. Each world has its own API group, so that any number of them can live on one server.
 */
import { randomBytes } from 'node:crypto';
import { KubeConfig } from '@kubernetes/client-node';
import { Registry } from 'prom-client';
import { createCluster } from '../cluster.ts';
import type { Cluster } from '../cluster.ts';
import type { Condition } from '../conditions.ts';
import { createMetrics } from '../metrics.ts';
import { resources } from '../object.ts';
import type { CustomResource, KubernetesObject, ResourceType } from '../object.ts';
import type { ResourceClient } from '../resource-client.ts';
import { eventually } from './eventually.ts';

export type Widget = CustomResource<
  { size: number; secret?: string },
  { seen?: number; word?: string; conditions?: readonly Condition[] }
>;

export interface WidgetWorld extends AsyncDisposable {
  readonly type: ResourceType;
  readonly finalizer: string;
  readonly cluster: Cluster;
  readonly client: ResourceClient<Widget>;
  /** The kubeconfig, maybe with another way to the same server. */
  config(server?: string): KubeConfig;
  /** A namespace of its own. */
  namespace(): Promise<{ name: string } & AsyncDisposable>;
  /** Requests of `cluster` so far that were not reads. */
  writes(): Promise<number>;
}

/** `kubeconfig` is the path of a file whose user may do anything. */
export async function widgetWorld(kubeconfig: string): Promise<WidgetWorld> {
  const unique = randomBytes(4).toString('hex');
  const group = `controller-${unique}.example.com`;
  const type: ResourceType = { group, version: 'v1', kind: 'Widget', plural: 'widgets', namespaced: true };
  const registry = new Registry();
  const config = (server?: string) => configFrom(kubeconfig, server);
  const cluster = createCluster({
    kubeConfig: config(),
    fieldManager: 'widget-operator',
    observer: createMetrics(registry).requests,
  });
  const client = cluster.resource<Widget>(type);
  await cluster.apply(definition(group));
  await eventually(() => client.list());
  let made = 0;
  return {
    type,
    finalizer: `${group}/tidy-up`,
    cluster,
    client,
    config,
    namespace: async () => {
      const name = `controller-${unique}-${(made += 1)}`;
      const namespaces = cluster.resource(resources.namespaces);
      await namespaces.create({ metadata: { name } });
      return { name, [Symbol.asyncDispose]: () => namespaces.delete({ name }) };
    },
    writes: async () => {
      const metric = await registry.getSingleMetric('rest_client_requests_total')?.get();
      return (metric?.values ?? [])
        .filter(({ labels }) => labels['method'] !== 'GET')
        .reduce((sum, { value }) => sum + value, 0);
    },
    [Symbol.asyncDispose]: async () => {
      await cluster.resource(resources.customResourceDefinitions).delete({ name: `widgets.${group}` });
      await cluster.close();
    },
  };
}

function configFrom(kubeconfig: string, server: string | undefined): KubeConfig {
  const config = new KubeConfig();
  config.loadFromFile(kubeconfig);
  if (server !== undefined) {
    config.clusters = config.clusters.map((one) => ({ ...one, server, skipTLSVerify: true }));
    for (const one of config.clusters) Reflect.deleteProperty(one, 'caData');
  }
  return config;
}

function definition(group: string): KubernetesObject & Record<string, unknown> {
  const open = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  const conditions = {
    type: 'array',
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['type'],
    items: { ...open, properties: { type: { type: 'string' } }, required: ['type'] },
  };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `widgets.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { plural: 'widgets', singular: 'widget', kind: 'Widget' },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          subresources: { status: {} },
          schema: {
            openAPIV3Schema: {
              type: 'object',
              properties: {
                spec: { ...open, properties: { size: { type: 'integer', maximum: 100 } } },
                status: { ...open, properties: { conditions } },
              },
            },
          },
        },
      ],
    },
  };
}
