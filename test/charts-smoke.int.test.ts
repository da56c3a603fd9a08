/** `helm test` of the shop: what its pod is told, and what its script does with that. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { beforeAll, expect, test } from '@jest/globals';
import { chartTools, charts, execute, root, type Tools } from './support/helm.ts';
import { ofKind, podTemplates } from './support/manifests.ts';

let tools: Tools;

beforeAll(async () => {
  tools = await chartTools();
}, 900_000);

test('its pod is told the port of each service', async () => {
  const manifests = await tools.template('shop', {
    service: { service: { port: 8000 } },
    services: { order: { service: { port: 8080 } } },
  });
  const ports = Object.fromEntries(
    ofKind(manifests, 'Service').map(({ metadata, spec }) => [
      metadata.name,
      (spec!['ports'] as { port: number }[])[0]!.port,
    ]),
  );
  expect(ports).toMatchObject({ order: 8080, user: 8000 });
  const [smoke] = podTemplates(ofKind(manifests, 'Pod'));
  expect(smoke!.pod.spec.containers[0]!.args).toEqual(
    Object.entries(ports).map(([name, port]) => `${name}:${port}`),
  );
});

test('its pod runs where the services may, and as they do', async () => {
  const place = {
    nodeSelector: { pool: 'shop' },
    tolerations: [{ key: 'shop', operator: 'Exists' }],
    affinity: { nodeAffinity: {} },
    priorityClassName: 'system-cluster-critical',
  };
  const manifests = await tools.template('shop', { service: place });
  const [smoke] = podTemplates(ofKind(manifests, 'Pod'));
  expect(smoke!.pod.spec).toMatchObject(place);
});

test('its script asks a service on the port that it is told', async () => {
  const asked: (string | undefined)[] = [];
  await using server = await answering((path) => asked.push(path));
  const script = join(root, charts.shop, 'files/smoke.mjs');
  const said = await execute(process.execPath, [script, `127.0.0.1:${server.port}`]);
  expect(said).toEqual({ code: 0, stdout: 'ok: 127.0.0.1 is ready\n', stderr: '' });
  expect(asked).toEqual(['/readyz']);
}, 150_000);

/** A server that answers every request with 200. */
async function answering(
  heard: (path: string | undefined) => void,
): Promise<AsyncDisposable & { port: number }> {
  const server = createServer((request, response) => {
    heard(request.url);
    response.end('ok');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      server.close();
      await once(server, 'close');
    },
  };
}
