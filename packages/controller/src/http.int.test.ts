import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import { Registry } from 'prom-client';
import { createCluster } from './cluster.ts';
import type { ClusterOptions } from './cluster.ts';
import { createMetrics } from './metrics.ts';
import { resources } from './object.ts';
import type { KubernetesObject } from './object.ts';
import { FakeApiServer } from './testing/fake-api-server.ts';

type ConfigMap = KubernetesObject & { data?: Record<string, string> };
const PATH = '/api/v1/namespaces/shop/configmaps/settings';
const REF = { namespace: 'shop', name: 'settings' };

async function setup(options: Partial<ClusterOptions> = {}) {
  const stack = new AsyncDisposableStack();
  const server = stack.use(await FakeApiServer.start());
  const registry = new Registry();
  const cluster = stack.use(
    createCluster({
      kubeConfig: server.kubeConfig(),
      fieldManager: 'test',
      observer: createMetrics(registry).requests,
      ...options,
    }),
  );
  server.put(PATH, { data: { a: '1' } });
  const configMaps = cluster.resource<ConfigMap>(resources.configMaps);
  return { server, cluster, configMaps, registry, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

async function temporaryFolder() {
  const path = await mkdtemp(join(tmpdir(), 'credentials-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

describe('a request', () => {
  test('is retried after a 429 when the server says, not earlier', async () => {
    await using t = await setup();
    t.server.failNext(1, { status: 429, headers: { 'retry-after': '1' } });
    const begun = performance.now();
    expect((await t.configMaps.get(REF)).data).toEqual({ a: '1' });
    expect(performance.now() - begun).toBeGreaterThanOrEqual(990);
    expect(t.server.requests).toHaveLength(2);
  });

  test('fails at once when the server wants to be left alone for longer than the retries may take, and says for how long', async () => {
    await using t = await setup({ retryWithinMs: 2000 });
    t.server.failNext(9, { status: 429, headers: { 'retry-after': '30' } });
    await expect(t.configMaps.get(REF)).rejects.toMatchObject({
      code: 'WARREN_K8S_TOO_MANY_REQUESTS',
      retryAfterMs: 30_000,
    });
    expect(t.server.requests).toHaveLength(1);
  });

  test('is retried after a 500, a cut socket and a hanging answer when it may be repeated', async () => {
    await using t = await setup({ requestTimeoutMs: 200 });
    t.server.failNext(1, { status: 500 });
    t.server.failNext(1, 'cut');
    t.server.failNext(1, 'hang');
    await t.configMaps.apply({ metadata: REF, data: { b: '2' } });
    expect(t.server.requests).toHaveLength(4);
    expect(t.server.get(PATH)).toMatchObject({ data: { a: '1', b: '2' } });
    const retries = await t.registry.getSingleMetric('rest_client_request_retries_total')!.get();
    expect(retries.values.map(({ labels, value }) => [labels['code'], value])).toEqual([
      ['500', 1],
      ['<error>', 2],
    ]);
  });

  test('gives up after so many attempts', async () => {
    await using t = await setup({ attempts: 3 });
    t.server.failNext(99, { status: 503 });
    await expect(t.configMaps.get(REF)).rejects.toMatchObject({
      code: 'WARREN_K8S_SERVER_ERROR',
      status: 503,
    });
    expect(t.server.requests).toHaveLength(3);
  });

  test('that creates is not repeated when nobody knows whether it was done', async () => {
    await using t = await setup();
    t.server.failNext(1, 'cut');
    const object = { metadata: { namespace: 'shop', name: 'new' } };
    await expect(t.configMaps.create(object)).rejects.toMatchObject({ code: 'WARREN_K8S_CONNECTION' });
    expect(t.server.requests).toHaveLength(1);
    t.server.failNext(1, { status: 429, headers: { 'retry-after': '0' } });
    await t.configMaps.create(object);
    expect(t.server.requests).toHaveLength(3);
  });

  test('ends with the reason of its signal, also while it waits to be retried', async () => {
    await using t = await setup();
    t.server.failNext(9, { status: 429, headers: { 'retry-after': '20' } });
    const abort = new AbortController();
    const call = expect(t.configMaps.get(REF, { signal: abort.signal })).rejects.toThrow('changed my mind');
    setTimeout(() => abort.abort(new Error('changed my mind')), 50);
    await call;
  });

  test('takes up a token as soon as the old one is refused', async () => {
    await using folder = await temporaryFolder();
    const tokenFile = join(folder.path, 'token');
    await writeFile(tokenFile, 'first\n');
    await using server = await FakeApiServer.start();
    await using cluster = createCluster({
      kubeConfig: server.kubeConfig({ authProvider: { name: 'tokenFile', config: { tokenFile } } }),
      fieldManager: 'test',
    });
    server.put(PATH);
    server.token = 'first';
    const configMaps = cluster.resource<ConfigMap>(resources.configMaps);
    await configMaps.get(REF);
    await writeFile(tokenFile, 'second\n');
    server.token = 'second';
    await configMaps.get(REF);
    expect(server.requests.at(-1)!.headers.authorization).toBe('Bearer second');
    server.token = 'third';
    await expect(configMaps.get(REF)).rejects.toMatchObject({ code: 'WARREN_K8S_UNAUTHORIZED' });
  });

  test('asks an exec plugin again when its token is refused, once for all requests', async () => {
    await using folder = await temporaryFolder();
    const token = join(folder.path, 'token');
    const runs = join(folder.path, 'runs');
    const script = `echo run >> "$1"; printf '{"status":{"token":"%s"}}' "$(cat "$2")"`;
    await using server = await FakeApiServer.start();
    await using cluster = createCluster({
      kubeConfig: server.kubeConfig({ exec: { command: 'sh', args: ['-c', script, 'plugin', runs, token] } }),
      fieldManager: 'test',
    });
    server.put(PATH);
    const configMaps = cluster.resource<ConfigMap>(resources.configMaps);
    const ran = async () => (await readFile(runs, 'utf8')).split('\n').length - 1;
    await writeFile(token, 'first');
    server.token = 'first';
    await configMaps.get(REF);
    await writeFile(token, 'second');
    server.token = 'second';
    await Promise.all(Array.from({ length: 32 }, () => configMaps.get(REF)));
    expect(server.requests.at(-1)!.headers.authorization).toBe('Bearer second');
    expect(await ran()).toBe(2);
    server.token = 'third';
    await expect(configMaps.get(REF)).rejects.toMatchObject({ code: 'WARREN_K8S_UNAUTHORIZED' });
  });

  test('uses the same socket again, and no more sockets than there are requests at once', async () => {
    await using t = await setup();
    const before = t.server.connections;
    for (let i = 0; i < 20; i += 1) await t.configMaps.get(REF);
    // undici may open a second one while the first is only just being given back.
    expect(t.server.connections - before).toBeLessThanOrEqual(2);
    await Promise.all(Array.from({ length: 200 }, () => t.configMaps.get(REF)));
    expect(t.server.connections - before).toBeLessThanOrEqual(32);
  });

  test('tells nothing secret in its errors', async () => {
    await using t = await setup({ attempts: 1 });
    const cluster = createCluster({
      kubeConfig: t.server.kubeConfig({ token: 'tok-123' }),
      fieldManager: 'test',
      attempts: 1,
    });
    await using _cluster = cluster;
    t.server.failNext(1, {
      status: 422,
      body: { reason: 'Invalid', message: 'data.password: Invalid value: "hunter2"' },
    });
    const secrets = cluster.resource<ConfigMap>(resources.secrets);
    const error = await secrets
      .apply({ metadata: REF, data: { password: 'hunter2' } })
      .catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'WARREN_K8S_INVALID', status: 422 });
    const told = inspect(error, { depth: 9, showHidden: true });
    expect(told).not.toMatch(/hunter2|tok-123/);

    const exec = createCluster({
      kubeConfig: t.server.kubeConfig({
        exec: { command: 'sh', args: ['-c', 'echo secret-of-plugin >&2; exit 1'] },
      }),
      fieldManager: 'test',
    });
    await using _exec = exec;
    const failed = await exec.version().catch((caught: unknown) => caught);
    expect(failed).toMatchObject({ code: 'WARREN_K8S_CREDENTIALS' });
    expect(inspect(failed, { depth: 9, showHidden: true })).not.toContain('secret-of-plugin');
  });

  test('stays within its resource, whatever the name', async () => {
    await using t = await setup();
    for (const name of ['..', '.', '', 'a/b', '%2e%2e']) {
      await expect(t.configMaps.get({ namespace: 'shop', name })).rejects.toMatchObject({
        code: 'WARREN_K8S_BAD_REQUEST',
      });
    }
    await expect(t.configMaps.get({ name: 'settings' })).rejects.toMatchObject({
      code: 'WARREN_K8S_BAD_REQUEST',
    });
    await expect(t.configMaps.find({ namespace: 'shop', name: 'a?b#c' })).resolves.toBeUndefined();
    expect(t.server.requests.map(({ path }) => path)).toEqual([
      '/api/v1/namespaces/shop/configmaps/a%3Fb%23c',
    ]);
  });

  test('that deletes counts what is gone already as done', async () => {
    await using t = await setup();
    t.server.failNext(1, { status: 500 });
    await t.configMaps.delete(REF);
    await t.configMaps.delete(REF);
    expect(t.server.get(PATH)).toBeUndefined();
  });

  test('is counted under the names of client-go', async () => {
    await using t = await setup();
    await t.configMaps.get(REF);
    await t.configMaps.find({ ...REF, name: 'none' });
    const { values } = await t.registry.getSingleMetric('rest_client_requests_total')!.get();
    expect(values.map(({ labels, value }) => [labels['method'], labels['code'], value])).toEqual([
      ['GET', '200', 1],
      ['GET', '404', 1],
    ]);
  });
});
