/** What a new version of the definitions must not do to objects that are there: on a copy of one, in a group of its own. */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { expect, test } from '@jest/globals';
import { createCluster, resources } from '@warren/controller';
import type { CustomResource, KubernetesObject } from '@warren/controller';
import { eventually, testKubernetes } from '@warren/environment/testing';
import { parse } from 'yaml';
import { ROOT } from '../testing/operator-process.ts';
import { subscriptionType } from './kubernetes-source.ts';

interface Schema {
  properties: { status: Record<string, unknown> };
}

interface Definition extends KubernetesObject {
  spec: { versions: { schema: { openAPIV3Schema: Schema } }[] };
}

type Subscription = CustomResource<object, object>;

test('a status that was written field by field still loses what is not said any more', async () => {
  const { kubeconfig } = await testKubernetes();
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromFile(kubeconfig);
  await using stack = new AsyncDisposableStack();
  const cluster = createCluster({ kubeConfig, fieldManager: 'warren-operator' });
  stack.defer(() => cluster.close());
  const group = `definitions-${randomBytes(4).toString('hex')}.example.com`;
  const text = await readFile(join(ROOT, 'charts', 'warren', 'crds', 'eventsubscriptions.yaml'), 'utf8');
  const present = () => parse(text.replaceAll('warren.events', group)) as Definition;
  const older = present();
  for (const { schema } of older.spec.versions)
    delete schema.openAPIV3Schema.properties.status['x-kubernetes-map-type'];

  const definitions = cluster.resource<Definition>(resources.customResourceDefinitions);
  await definitions.apply(older);
  stack.defer(() => definitions.delete(older.metadata));
  const subscriptions = cluster.resource<Subscription>({ ...subscriptionType, group });
  const ref = { namespace: 'default', name: 'loyalty' };
  await eventually(async () => {
    await subscriptions.apply({ metadata: ref, spec: { events: ['OrderPlaced'] } });
    return true;
  });
  const ownedOf = ({ metadata }: Subscription) =>
    metadata.managedFields?.find(({ subresource }) => subresource === 'status')?.fieldsV1;
  const before = { queue: 'default.loyalty', retryMode: 'ladder', messages: { ready: 1, unacked: 2 } };
  expect(ownedOf(await subscriptions.applyStatus(ref, before))).toEqual({
    'f:status': {
      ...{ 'f:queue': {}, 'f:retryMode': {} },
      'f:messages': { 'f:ready': {}, 'f:unacked': {} },
    },
  });

  await definitions.apply(present());
  const after = { queue: 'default.loyalty', messages: { ready: 3 } };
  await eventually(async () => {
    const owned = ownedOf(await subscriptions.applyStatus(ref, after));
    return JSON.stringify(owned) === '{"f:status":{}}';
  });
  expect((await subscriptions.get(ref)).status).toEqual(after);
});
