/** On an API server of its own, because it is killed. */
import { describe, expect, test } from '@jest/globals';
import { dedicatedKubernetes } from '@warren/environment/testing';
import { isTrue } from './conditions.ts';
import { keyOf } from './object.ts';
import { eventually } from './testing/eventually.ts';
import { startOperator } from './testing/widget-operator.ts';
import { widgetWorld } from './testing/widgets.ts';

const patient = { timeoutMs: 60_000 };

describe('an operator whose API server is restarted', () => {
  test('goes on by itself, after an end in order and after a kill, and misses nothing', async () => {
    await using kubernetes = await dedicatedKubernetes();
    await using world = await widgetWorld(kubernetes.kubeconfig);
    await using ns = await world.namespace();
    const { client } = world;
    const operator = startOperator(world, world.cluster, ns.name);
    await operator.controller.start();
    const ref = (name: string) => ({ namespace: ns.name, name });
    const create = (name: string) => client.create({ metadata: ref(name), spec: { size: 1 } });
    const isReady = async (name: string, size: number) => {
      const { status } = await client.get(ref(name));
      return status?.seen === size && isTrue(status.conditions, 'Ready');
    };
    await Promise.all(['edited', 'deleted'].map(create));
    await eventually(() => isReady('edited', 1), patient);

    const interruptions = [
      () => kubernetes.restart(),
      () => kubernetes.kill().then(() => kubernetes.start()),
    ];
    let size = 1;
    for (const interrupt of interruptions) {
      await interrupt();
      size += 1;
      // At once, so that the watch is not there yet.
      await client.mergePatch(ref('edited'), { spec: { size } });
      await create(`made-${size}`);
      await eventually(() => isReady('edited', size), patient);
      await eventually(() => isReady(`made-${size}`, 1), patient);
    }
    await client.delete(ref('deleted'));
    await eventually(async () => (await client.find(ref('deleted'))) === undefined, patient);
    const { items } = await client.list({ namespace: ns.name });
    await eventually(() => operator.reflector.store.size === items.length);
    expect([...operator.reflector.store.keys()].sort()).toEqual(items.map((item) => keyOf(item)).sort());
    expect(await operator.controller.stop()).toEqual({ clean: true });
    for (const item of items) await client.patchFinalizers(await client.get(item.metadata), []);
  }, 240_000);
});
