/** The example of README.md, compiled and run: the lines between the marks are the ones that stand there (readme.unit.test.ts). */
import { hostname } from 'node:os';
import type { KubeConfig } from '@kubernetes/client-node';
import { expect, test } from '@jest/globals';
import { eventually, testKubernetes } from '@warren/environment/testing';
import {
  controllerReference,
  createApplier,
  createCluster,
  createController,
  createEventRecorder,
  createLeaderElector,
  createManager,
  createMetrics,
  createReflector,
  createStatusWriter,
  isTrue,
  predicates,
  resources,
  setCondition,
  shutdownSignal,
  TerminalError,
  watchSource,
} from '@warren/controller';
import type { Condition, CustomResource, KubernetesObject, ResourceType } from '@warren/controller';
import { Registry } from 'prom-client';
import { widgetWorld } from './testing/widgets.ts';

type Website = CustomResource<{ title: string }, { conditions?: readonly Condition[] }>;

async function example(
  kubeConfig: KubeConfig,
  websites: ResourceType,
  namespace: string,
  registry: Registry,
) {
  // README begins
  const metrics = createMetrics(registry);
  const cluster = createCluster({ kubeConfig, fieldManager: 'website-operator', observer: metrics.requests });
  const client = cluster.resource<Website>(websites);
  const live = createReflector({ resource: client, observer: metrics.reflector('websites') });
  const status = createStatusWriter({ resource: client });
  const applier = createApplier({ cluster });
  const events = createEventRecorder({
    cluster,
    controller: 'example.com/websites',
    instance: hostname(),
    observer: metrics.events,
  });

  const controller = createController({
    name: 'websites',
    workers: 4,
    reconcileTimeoutMs: 30_000,
    sources: [watchSource(live, { predicate: predicates.generationChanged })],
    observer: metrics.controller('websites'),
    reconcile: async (key, { signal }) => {
      const website = live.store.get(key);
      if (website === undefined) return; // gone, and its page goes with its owner
      const { metadata, spec } = website;
      if (spec.title === '') throw new TerminalError('A website needs a title.'); // not retried until it is edited

      const page = {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: {
          namespace: metadata.namespace ?? '',
          name: metadata.name,
          ownerReferences: [controllerReference(website, websites)],
        },
        data: { 'index.html': `<h1>${spec.title}</h1>` },
      };
      await applier.apply(page, undefined, { signal }); // writes only what differs

      const written = await status.write(
        website,
        (current) => ({
          conditions: setCondition(current?.conditions, {
            type: 'Ready',
            status: 'True',
            reason: 'Published',
            message: 'The page is there.',
            observedGeneration: metadata.generation ?? 0,
          }),
        }),
        { signal },
      );
      if (written !== undefined) {
        events.event(website, { type: 'Normal', reason: 'Published', message: 'The page was written.' });
      }
      return { requeueAfterMs: 600_000 }; // look again in ten minutes, behind everything urgent
    },
  });

  const election = createLeaderElector({
    cluster,
    namespace,
    name: 'websites',
    identity: `${hostname()}-${process.pid}`,
    observer: metrics.election,
  });
  const shutdown = shutdownSignal(); // SIGTERM, SIGINT
  await createManager({ controllers: [controller], election }).run(shutdown.signal);
  await events.stop();
  await cluster.close();
  // README ends
  shutdown.release();
}

test('the example of the README works', async () => {
  const { kubeconfig } = await testKubernetes();
  await using world = await widgetWorld(kubeconfig);
  await using ns = await world.namespace();
  const websites = world.cluster.resource<Website>(world.type);
  const pages = world.cluster.resource<KubernetesObject & { data?: object }>(resources.configMaps);
  const registry = new Registry();
  const ended = example(world.config(), world.type, ns.name, registry);
  const ref = { namespace: ns.name, name: 'hello' };
  await websites.create({ metadata: ref, spec: { title: 'Hello' } });
  await eventually(async () => isTrue((await websites.get(ref)).status?.conditions, 'Ready'));
  expect((await pages.get(ref)).data).toEqual({ 'index.html': '<h1>Hello</h1>' });
  await websites.create({ metadata: { ...ref, name: 'untitled' }, spec: { title: '' } });
  await eventually(async () => /terminal_reconcile_errors_total\{.*\} 1/.test(await registry.metrics()));
  process.emit('SIGTERM');
  await ended;
  const told = await world.cluster
    .resource<KubernetesObject & { note?: string }>(resources.events)
    .list({ namespace: ns.name });
  expect(told.items.map(({ note }) => note)).toEqual(['The page was written.']);
});
