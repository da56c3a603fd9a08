import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { aborted } from './clock.ts';
import { createCluster } from './cluster.ts';
import type { Cluster } from './cluster.ts';
import { createController } from './controller.ts';
import { addFinalizer } from './finalizers.ts';
import { createLeaderElector } from './leader-election.ts';
import { resources } from './object.ts';
import type { KubernetesObject } from './object.ts';
import { createReflector } from './reflector.ts';
import type { ReflectorOptions } from './reflector.ts';
import { FakeApiServer } from './testing/fake-api-server.ts';
import type { SeenRequest, Watch } from './testing/fake-api-server.ts';
import { eventually } from './testing/eventually.ts';
import { hanging } from './testing/hanging-credentials.ts';
import { watchSource } from './watch-source.ts';

type ConfigMap = KubernetesObject & { data?: Record<string, string> };
const at = (name: string) => `/api/v1/namespaces/shop/configmaps/${name}`;
const isWatch = ({ query }: SeenRequest) => query.get('watch') === 'true';
const isList = ({ method, path, query }: SeenRequest) =>
  method === 'GET' && path === '/api/v1/configmaps' && query.get('watch') !== 'true';

/** A reflector on an API server that does what the test wants. */
async function setup(options: Partial<ReflectorOptions<ConfigMap>> = {}, user: Record<string, unknown> = {}) {
  const stack = new AsyncDisposableStack();
  const server = stack.use(await FakeApiServer.start());
  const credentials = hanging(server.kubeConfig(user));
  const cluster = stack.use(
    createCluster({ kubeConfig: credentials, fieldManager: 'test', requestTimeoutMs: 1000 }),
  );
  const configMaps = cluster.resource<ConfigMap>(resources.configMaps);
  const reflector = stack.use(
    createReflector({ resource: configMaps, backoffMs: { first: 10, most: 200 }, ...options }),
  );
  const names = () => [...reflector.store.keys()].map((key) => key.replace('shop/', '')).sort();
  const watching = (requests: number) =>
    eventually(() => server.watches.size === 1 && server.count('GET', isWatch) >= requests);
  return {
    server,
    credentials,
    cluster,
    configMaps,
    reflector,
    names,
    watching,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

describe('a reflector over real sockets', () => {
  test('lists in pages and follows every change', async () => {
    await using t = await setup({ pageSize: 2 });
    for (const name of ['a', 'b', 'c', 'd', 'e']) t.server.put(at(name));
    t.reflector.start();
    await t.reflector.synced;
    expect(t.names()).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(t.server.count('GET', isList)).toBe(3);
    await t.watching(1);
    t.server.put(at('f'));
    t.server.remove(at('a'));
    await eventually(() => t.names().join('') === 'bcdef');
  });

  test('reads events whatever the pieces in which they arrive, and whatever characters they hold', async () => {
    await using t = await setup();
    t.reflector.start();
    await t.watching(1);
    const text = JSON.stringify({
      type: 'ADDED',
      object: {
        metadata: { name: 'ü', namespace: 'shop', uid: 'x', resourceVersion: '900' },
        data: { a: '🐇'.repeat(50_000) },
      },
    });
    const bytes = Buffer.from(`${text}\n`);
    const [{ response }] = [...t.server.watches] as [Watch];
    for (let from = 0; from < bytes.length; from += 10_007) {
      response.write(bytes.subarray(from, from + 10_007));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await eventually(() => t.reflector.store.get('shop/ü')?.data?.['a'] === '🐇'.repeat(50_000));
  });

  test('goes on where it was after its socket is cut, without listing again', async () => {
    await using t = await setup();
    t.reflector.start();
    await t.watching(1);
    for (let i = 1; i <= 5; i += 1) {
      t.server.cutWatches();
      t.server.put(at(`while-away-${i}`));
      await eventually(() => t.reflector.store.size === i);
      await t.watching(i + 1);
    }
    expect(t.server.count('GET', isList)).toBe(1);
  });

  test('lists again after 410, as the status of a watch and as an event in it, and finds what it missed', async () => {
    await using t = await setup();
    t.server.put(at('stays'));
    t.server.put(at('goes'));
    t.reflector.start();
    await t.watching(1);
    t.server.failNext(3, 'cut', isWatch);
    t.server.cutWatches();
    t.server.remove(at('goes'));
    t.server.put(at('comes'));
    t.server.compact();
    await eventually(() => t.names().join() === 'comes,stays');
    await eventually(() => t.server.watches.size === 1);
    const lists = t.server.count('GET', isList);
    t.server.sendToWatches({
      type: 'ERROR',
      object: { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' },
    });
    await eventually(() => t.server.count('GET', isList) === lists + 1);
    await eventually(() => t.server.watches.size === 1);
  });

  test('notices a watch that has fallen silent and opens another', async () => {
    await using t = await setup({ inactivityMs: 150 });
    t.reflector.start();
    await t.watching(1);
    const chatter = setInterval(() => t.server.bookmark(), 40);
    await new Promise((resolve) => setTimeout(resolve, 400));
    clearInterval(chatter);
    expect(t.server.count('GET', isWatch)).toBe(1);
    await t.watching(2);
    expect(t.server.count('GET', isList)).toBe(1);
  });

  test('survives an API server that answers 500, 429 and rubbish, and a watch that never answers', async () => {
    await using t = await setup({ inactivityMs: 200 });
    t.server.failNext(2, { status: 500 });
    t.server.failNext(1, { status: 200, body: '<html>' });
    t.server.failNext(1, { status: 429, headers: { 'retry-after': '0' } }, isWatch);
    t.server.failNext(1, 'hang', isWatch);
    t.server.put(at('a'));
    t.reflector.start();
    await t.reflector.synced;
    await t.watching(3);
    t.server.put(at('b'));
    await eventually(() => t.names().join() === 'a,b');
    t.server.sendToWatches({
      type: 'ERROR',
      object: { kind: 'Status', code: 500, message: 'etcd leader changed' },
    });
    await t.watching(4);
    for (const { response } of t.server.watches)
      response.write('{"type":"ADDED","object":{"metadata":{"na\n');
    await t.watching(5);
    t.server.put(at('c'));
    await eventually(() => t.names().join() === 'a,b,c');
  });

  test('survives credentials that are refused for a while', async () => {
    await using t = await setup({}, { token: 'mine' });
    t.server.token = 'mine';
    t.reflector.start();
    await t.watching(1);
    t.server.token = 'another';
    t.server.cutWatches();
    t.server.put(at('a'));
    await eventually(() => t.server.count('GET', isWatch) >= 5);
    await eventually(() => t.reflector.state === 'waiting');
    t.server.token = 'mine';
    await eventually(() => t.names().join() === 'a');
  });

  test('opens its next watch with the new token when the token file was rotated', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'token-'));
    try {
      const tokenFile = join(folder, 'token');
      await writeFile(tokenFile, 'first');
      await using t = await setup({}, { authProvider: { name: 'tokenFile', config: { tokenFile } } });
      t.server.token = 'first';
      t.reflector.start();
      await t.watching(1);
      await writeFile(tokenFile, 'second');
      t.server.token = 'second';
      t.server.put(at('by-the-old-watch'));
      await eventually(() => t.reflector.store.size === 1);
      t.server.cutWatches();
      t.server.put(at('by-the-new-watch'));
      await eventually(() => t.reflector.store.size === 2);
      expect(t.server.count('GET', isList)).toBe(1);
      expect(t.server.requests.at(-1)?.headers.authorization).toBe('Bearer second');
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('stays away for as long as a server asks that sheds load', async () => {
    await using t = await setup();
    const times: number[] = [];
    t.server.faults.push((request) => {
      if (isList(request)) times.push(performance.now());
      return undefined;
    });
    t.server.failNext(1, { status: 429, headers: { 'retry-after': '1' } }, isList);
    t.reflector.start();
    await t.reflector.synced;
    expect(times).toHaveLength(2);
    // Its own back-off would have been 10 ms.
    expect(times[1]! - times[0]!).toBeGreaterThanOrEqual(990);
  });

  test('leaves no socket open after it is stopped, in whatever state', async () => {
    await using t = await setup();
    t.reflector.start();
    await t.watching(1);
    await t.reflector.stop();
    await eventually(() => t.server.watches.size === 0);
    t.server.failNext(1, 'hang', isList);
    t.reflector.start();
    await eventually(() => t.server.count('GET', isList) === 2);
    await t.reflector.stop();
    const { length } = t.server.requests;
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(t.server.requests).toHaveLength(length);
  });
});

describe('credentials that cannot be looked up', () => {
  test('hold a request up for no longer than it may take', async () => {
    await using t = await setup();
    t.credentials.hang();
    const call = t.configMaps.get({ namespace: 'shop', name: 'a' }, { timeoutMs: 100 });
    await expect(call).rejects.toMatchObject({ code: 'WARREN_K8S_TIMEOUT' });
    expect(t.credentials.lookups).toBe(1);
  });

  test('hold up neither the watchdog of a reflector nor its stop', async () => {
    const ends: string[] = [];
    const observer = {
      relisted: () => undefined,
      watch: () => undefined,
      watchEnded: (why: string) => ends.push(why),
    };
    // Longer than credentials are fresh: the second watch looks them up again.
    await using t = await setup({ inactivityMs: 1200, observer });
    t.reflector.start();
    await t.watching(1);
    t.server.bookmark();
    t.credentials.hang();
    await eventually(() => t.credentials.lookups === 2 && ends.length === 2);
    expect(ends).toEqual(['WARREN_K8S_TIMEOUT', 'WARREN_K8S_TIMEOUT']);
    await eventually(() => t.reflector.state === 'watching');
    await t.reflector.stop();
  });

  test('hold nothing up when the client is closed', async () => {
    await using t = await setup();
    t.credentials.hang();
    const call = t.configMaps.get({ namespace: 'shop', name: 'a' });
    const failing = expect(call).rejects.toMatchObject({ code: 'WARREN_K8S_CREDENTIALS' });
    await t.cluster.close();
    await failing;
  });
});

describe('a controller on a faulty API server', () => {
  test('gets every key right through a storm of conflicts', async () => {
    await using t = await setup();
    for (let i = 0; i < 20; i += 1) t.server.put(at(`m-${i}`));
    let left = 60;
    t.server.faults.push(({ method }) =>
      method === 'PATCH' && (left -= 1) >= 0 ? { status: 409 } : undefined,
    );
    const running = new Set<string>();
    let overlapped = false;
    const controller = createController({
      name: 'storm',
      sources: [watchSource(t.reflector)],
      workers: 8,
      reconcile: async (key, { signal }) => {
        overlapped ||= running.has(key);
        running.add(key);
        try {
          const object = t.reflector.store.get(key);
          if (object !== undefined) await addFinalizer(t.configMaps, object, 'test/one', { signal });
        } finally {
          running.delete(key);
        }
      },
    });
    await controller.start();
    const done = () =>
      [...t.reflector.store.list()].filter((one) => one.metadata.finalizers?.[0] === 'test/one');
    await eventually(() => done().length === 20);
    expect(await controller.stop()).toEqual({ clean: true });
    expect(overlapped).toBe(false);
    await eventually(() => t.server.watches.size === 0);
  });
});

/** Competes for a lease that is lost after 600 ms; another may have it after 1500. */
function compete(identity: string, cluster: Pick<Cluster, 'resource'>, signal: AbortSignal) {
  const elected = Promise.withResolvers<AbortSignal>();
  const elector = createLeaderElector({
    cluster,
    namespace: 'ops',
    name: 'operator',
    identity,
    leaseDurationMs: 1500,
    renewDeadlineMs: 600,
    retryPeriodMs: 100,
  });
  const ended = elector.run({
    signal,
    lead: async (leading) => {
      elected.resolve(leading);
      await aborted(leading);
      return { clean: true };
    },
  });
  return { elector, ended, elected: elected.promise };
}

describe('leader election over real sockets', () => {
  test.each<[string, (t: Awaited<ReturnType<typeof setup>>) => void]>([
    [
      'that gets no answers any more',
      ({ server }) =>
        server.faults.push(({ headers }) => (headers['user-agent'] === 'test' ? 'hang' : undefined)),
    ],
    ['whose credentials cannot be looked up any more', ({ credentials }) => credentials.hang()],
  ])('a leader %s has lost before the next one leads', async (_, fail) => {
    await using t = await setup();
    await using other = createCluster({ kubeConfig: t.server.kubeConfig(), fieldManager: 'another' });
    const stop = new AbortController();
    const first = compete('a', t.cluster, stop.signal);
    const leading = await first.elected;
    const second = compete('b', other, stop.signal);
    expect(first.elector.isLeader).toBe(true);
    fail(t);
    await second.elected;
    expect(first.elector.isLeader).toBe(false);
    expect(leading.reason).toMatchObject({ code: 'WARREN_CONTROLLER_LEADERSHIP_LOST' });
    expect(await first.ended).toBe('lost');
    stop.abort();
    expect(await second.ended).toBe('stopped');
  });

  test('a leader renews its lease past requests that hold every socket', async () => {
    await using t = await setup();
    const stop = new AbortController();
    const first = compete('a', t.cluster, stop.signal);
    const leading = await first.elected;
    const isSlow = ({ path }: SeenRequest) => path === at('slow');
    t.server.faults.push((request) => (isSlow(request) ? 'hang' : undefined));
    const held = Array.from({ length: 64 }, () =>
      t.configMaps
        .get({ namespace: 'shop', name: 'slow' }, { timeoutMs: 60_000, signal: stop.signal })
        .catch(() => undefined),
    );
    await eventually(() => t.server.count('GET', isSlow) === 32);
    const renewals = t.server.count('PUT');
    await eventually(() => t.server.count('PUT') >= renewals + 25);
    expect(leading.aborted).toBe(false);
    expect(first.elector.isLeader).toBe(true);
    expect(t.server.count('GET', isSlow)).toBe(32);
    stop.abort();
    expect(await first.ended).toBe('stopped');
    await Promise.all(held);
  });
});
