/** Against a real API server: the semantics that the fakes only imitate. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { testKubernetes } from '@warren/environment/testing';
import { createApplier } from './apply.ts';
import type { Cluster } from './cluster.ts';
import { createEventRecorder } from './events.ts';
import { addFinalizer, hasFinalizer, removeFinalizer } from './finalizers.ts';
import { createLeaderElector } from './leader-election.ts';
import { controllerReference, resources } from './object.ts';
import type { KubernetesObject } from './object.ts';
import { createReflector } from './reflector.ts';
import type { ResourceClient } from './resource-client.ts';
import { eventually } from './testing/eventually.ts';
import { widgetWorld } from './testing/widgets.ts';
import type { Widget, WidgetWorld } from './testing/widgets.ts';

type Secret = KubernetesObject & { type?: string; data?: Record<string, string> };

let kubeconfig: string;
let world: WidgetWorld;
let cluster: Cluster;
let client: ResourceClient<Widget>;

beforeAll(async () => {
  ({ kubeconfig } = await testKubernetes());
  world = await widgetWorld(kubeconfig);
  ({ cluster, client } = world);
});

afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

describe('the resource client', () => {
  test('writes, reads and refuses as the API server does', async () => {
    await using ns = await world.namespace();
    const ref = { namespace: ns.name, name: 'w' };
    const created = await client.create({ metadata: ref, spec: { size: 1 } });
    await expect(client.create({ metadata: ref, spec: { size: 1 } })).rejects.toMatchObject({
      code: 'WARREN_K8S_ALREADY_EXISTS',
    });
    const replaced = await client.replace({ ...created, spec: { size: 2 } });
    expect(replaced.metadata.generation).toBe(2);
    await expect(client.replace({ ...created, spec: { size: 3 } })).rejects.toMatchObject({
      code: 'WARREN_K8S_CONFLICT',
    });
    await expect(client.apply({ metadata: ref, spec: { size: 101 } })).rejects.toMatchObject({
      code: 'WARREN_K8S_INVALID',
      causes: [{ field: 'spec.size' }],
    });
    await client.apply({ metadata: ref, spec: { size: 9 } }, { dryRun: true });
    expect((await client.get(ref)).spec.size).toBe(2);
    await expect(client.delete(ref, { uid: 'another' })).rejects.toMatchObject({
      code: 'WARREN_K8S_CONFLICT',
    });
    const misspelt = { metadata: { ...ref, name: 'x' }, spec: { size: 1 }, colour: 'red' };
    await expect(client.create(misspelt, { fieldValidation: 'Strict' })).rejects.toMatchObject({
      code: 'WARREN_K8S_BAD_REQUEST',
      message: expect.stringContaining('unknown field "colour"') as unknown,
    });
    expect(await client.create(misspelt)).not.toHaveProperty('colour');
    await client.delete(ref, { uid: created.metadata.uid });
    await client.delete(ref);
    expect(await client.find(ref)).toBeUndefined();
  });

  test('lists in pages, and everything of one list is of one version', async () => {
    await using ns = await world.namespace();
    const secrets = cluster.resource<Secret>(resources.secrets);
    await Promise.all(
      Array.from({ length: 25 }, (_, i) =>
        secrets.create({ metadata: { namespace: ns.name, name: `s-${i}` } }),
      ),
    );
    const sizes: number[] = [];
    for await (const page of secrets.pages({ namespace: ns.name, pageSize: 10 }))
      sizes.push(page.items.length);
    expect(sizes).toEqual([10, 10, 5]);
    const { items } = await secrets.list({ namespace: ns.name, fieldSelector: 'metadata.name=s-7' });
    expect(items.map((item) => [item.kind, item.apiVersion, item.metadata.name])).toEqual([
      ['Secret', 'v1', 's-7'],
    ]);
  });

  test('applies a status, and says when it went to another object of that name', async () => {
    await using ns = await world.namespace();
    const ref = { namespace: ns.name, name: 'w' };
    const first = await client.create({ metadata: ref, spec: { size: 1 } });
    const written = await client.applyStatus(first.metadata, { seen: 1 });
    expect(written.status).toEqual({ seen: 1 });
    expect(written.metadata.generation).toBe(1);
    await client.delete(ref);
    await client.create({ metadata: ref, spec: { size: 1 } });
    await expect(client.applyStatus(first.metadata, { seen: 2 })).rejects.toMatchObject({
      code: 'WARREN_K8S_CONFLICT',
    });
  });

  test('keeps a status from another object of that name, and from one that has changed, where it is told the version', async () => {
    await using ns = await world.namespace();
    const ref = { namespace: ns.name, name: 'w' };
    const { metadata } = await client.create({ metadata: ref, spec: { size: 1 } });
    const { resourceVersion } = metadata;
    const written = await client.applyStatus(metadata, { seen: 1 }, { resourceVersion });
    expect(written.status).toEqual({ seen: 1 });
    const conflict = { code: 'WARREN_K8S_CONFLICT' };
    await expect(client.applyStatus(metadata, { seen: 2 }, { resourceVersion })).rejects.toMatchObject(
      conflict,
    );
    await client.delete(ref);
    await client.create({ metadata: ref, spec: { size: 1 } });
    const now = { resourceVersion: written.metadata.resourceVersion };
    await expect(client.applyStatus(metadata, { seen: 2 }, now)).rejects.toMatchObject(conflict);
    expect((await client.get(ref)).status).toBeUndefined();
  });

  test('guards finalizers by version and uid, and helpers get through all the same', async () => {
    await using ns = await world.namespace();
    const ref = { namespace: ns.name, name: 'w' };
    const stale = await client.create({ metadata: ref, spec: { size: 1 } });
    await client.apply({ metadata: { ...ref, labels: { changed: 'meanwhile' } } }, { fieldManager: 'other' });
    await expect(client.patchFinalizers(stale, [world.finalizer])).rejects.toMatchObject({
      code: 'WARREN_K8S_CONFLICT',
    });
    const held = await addFinalizer(client, stale, world.finalizer);
    expect(held?.metadata.finalizers).toEqual([world.finalizer]);
    await client.delete(ref);
    const deleting = await client.get(ref);
    expect(deleting.metadata.deletionTimestamp).toBeDefined();
    await client.apply({ metadata: { ...ref, labels: { changed: 'again' } } }, { fieldManager: 'other' });
    await removeFinalizer(client, deleting, world.finalizer);
    expect(await client.find(ref)).toBeUndefined();
    const anew = await client.create({ metadata: ref, spec: { size: 1 } });
    await client.patchFinalizers(anew, [world.finalizer]);
    expect(await removeFinalizer(client, deleting, world.finalizer)).toBeUndefined();
    const untouched = await client.get(ref);
    expect(hasFinalizer(untouched, world.finalizer)).toBe(true);
    await client.patchFinalizers(untouched, []);
  });

  test('says when a watch asks for a past that is gone', async () => {
    const read = async () => {
      for await (const _event of client.watch({ resourceVersion: '1', timeoutSeconds: 8 })) break;
    };
    await expect(read()).rejects.toMatchObject({ code: 'WARREN_K8S_GONE' });
  });
});

describe('a reflector', () => {
  test('finds back to a server that was restored from a backup, which answers a version of the future with silence', async () => {
    await using ns = await world.namespace();
    let lists = 0;
    await using reflector = createReflector<Widget>({
      resource: {
        type: client.type,
        watch: (options) => client.watch(options),
        async *pages(options) {
          lists += 1;
          for await (const page of client.pages(options))
            yield lists === 1 ? { ...page, resourceVersion: '99999999999' } : page;
        },
      },
      namespace: ns.name,
      inactivityMs: 500,
      backoffMs: { first: 10, most: 20 },
    });
    reflector.start();
    await reflector.synced;
    await client.create({ metadata: { namespace: ns.name, name: 'w' }, spec: { size: 1 } });
    await eventually(() => reflector.store.get(`${ns.name}/w`) !== undefined);
    expect(lists).toBeGreaterThan(1);
  });
});

describe('server-side apply', () => {
  test('of any kind is left out when nothing would change, with and without managedFields', async () => {
    await using ns = await world.namespace();
    const applier = createApplier({ cluster });
    const owner = await client.create({ metadata: { namespace: ns.name, name: 'w' }, spec: { size: 1 } });
    const secret = (data: Record<string, string>): Secret => ({
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'example.com/thing',
      metadata: {
        namespace: ns.name,
        name: 's',
        labels: { ours: 'yes' },
        ownerReferences: [controllerReference(owner, world.type)],
      },
      data,
    });
    const first = await applier.apply(secret({ a: 'MQ==', b: 'Mg==' }));
    expect(first?.metadata.uid).toBeDefined();
    const before = await world.writes();
    expect(await applier.apply(secret({ a: 'MQ==', b: 'Mg==' }))).toBeUndefined();
    const secrets = cluster.resource<Secret>(resources.secrets);
    const ref = { namespace: ns.name, name: 's' };
    await secrets.mergePatch(ref, { metadata: { labels: { theirs: 'too' } } }, { fieldManager: 'other' });
    expect(await applier.apply(secret({ a: 'MQ==', b: 'Mg==' }))).toBeUndefined();
    const cached = await secrets.get(ref);
    delete cached.metadata.managedFields;
    expect(await applier.apply(secret({ a: 'MQ==', b: 'Mg==' }), cached)).toBeUndefined();
    expect((await world.writes()) - before).toBe(1);
    const smaller = await applier.apply(secret({ a: 'MQ==' }));
    expect(smaller?.data).toEqual({ a: 'MQ==' });
    expect(smaller?.metadata.labels).toEqual({ ours: 'yes', theirs: 'too' });
    await applier.delete(smaller!);
    expect(await secrets.find(ref)).toBeUndefined();
  });

  test('is left out also where the server says the same in other words, defaults and quantities', async () => {
    await using ns = await world.namespace();
    const applier = createApplier({ cluster });
    const wanted = {
      apiVersion: 'v1',
      kind: 'ResourceQuota',
      metadata: { namespace: ns.name, name: 'q' },
      spec: { hard: { 'requests.cpu': '1000m' } },
    };
    const quotas = cluster.resource(await cluster.typeOf(wanted));
    const made = await applier.apply(wanted);
    expect(made?.spec.hard).toEqual({ 'requests.cpu': '1' });
    const before = await world.writes();
    expect(await applier.apply(wanted, made)).toBeUndefined();
    // The quota controller writes the status meanwhile: our fields are as they were.
    await eventually(async () => {
      const { status } = (await quotas.get(wanted.metadata)) as { status?: { used?: object } };
      return status?.used !== undefined;
    });
    expect(await applier.apply(wanted)).toBeUndefined();
    expect((await world.writes()) - before).toBe(0);
    await quotas.mergePatch(
      wanted.metadata,
      { spec: { hard: { 'requests.cpu': '7' } } },
      { fieldManager: 'other' },
    );
    expect((await applier.apply(wanted))?.spec.hard).toEqual({ 'requests.cpu': '1' });
  });

  test('of an unknown kind says so', async () => {
    await expect(
      cluster.apply({ apiVersion: 'v1', kind: 'Nonsense', metadata: { name: 'x' } }),
    ).rejects.toMatchObject({
      code: 'WARREN_K8S_NOT_FOUND',
    });
  });
});

describe('the event recorder', () => {
  test('tells what kubectl describe shows, and how often', async () => {
    await using ns = await world.namespace();
    const widget = await client.create({ metadata: { namespace: ns.name, name: 'w' }, spec: { size: 1 } });
    await using recorder = createEventRecorder({
      cluster,
      controller: `${world.type.group}/operator`,
      instance: 'test',
      seriesEveryMs: 200,
    });
    const say = () =>
      recorder.event(widget, { type: 'Warning', reason: 'Broken', message: 'The size is odd.' });
    say();
    await recorder.flush();
    for (let i = 0; i < 6; i += 1) say();
    const kubectl = async (...args: string[]) =>
      (await promisify(execFile)('kubectl', ['--kubeconfig', kubeconfig, '-n', ns.name, ...args])).stdout;
    await eventually(async () =>
      (await kubectl('describe', `widgets.${world.type.group}`, 'w')).includes('x7 over'),
    );
    const described = await kubectl('describe', `widgets.${world.type.group}`, 'w');
    expect(described).toMatch(/Warning\s+Broken\s+.*The size is odd\./);
    const events = await cluster.resource(resources.events).list({ namespace: ns.name });
    expect(events.items).toHaveLength(1);
  });
});

describe('leader election', () => {
  test('has one leader, and hands over in order', async () => {
    await using ns = await world.namespace();
    const leading: string[] = [];
    let most = 0;
    const compete = (identity: string) => {
      const stop = new AbortController();
      const elector = createLeaderElector({
        cluster,
        namespace: ns.name,
        name: 'operator',
        identity,
        leaseDurationMs: 3000,
        renewDeadlineMs: 2000,
        retryPeriodMs: 100,
      });
      const ended = elector.run({
        signal: stop.signal,
        lead: async (signal) => {
          leading.push(identity);
          most = Math.max(most, leading.length);
          await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
          leading.splice(leading.indexOf(identity), 1);
          return { clean: true };
        },
      });
      return { identity, stop, ended };
    };
    const all = ['a', 'b', 'c'].map(compete);
    for (let round = 0; round < 3; round += 1) {
      await eventually(() => leading.length === 1);
      const leader = all.find(({ identity }) => identity === leading[0])!;
      leader.stop.abort();
      expect(await leader.ended).toBe('stopped');
    }
    expect(most).toBe(1);
    const lease = await cluster
      .resource<KubernetesObject & { spec: Record<string, unknown> }>(resources.leases)
      .get({ namespace: ns.name, name: 'operator' });
    expect(lease.spec).toMatchObject({ holderIdentity: '', leaseTransitions: 2 });
  });
});
