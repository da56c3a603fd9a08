import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { currentCauses } from './context.ts';
import { Refusal } from './errors.ts';
import { createHttpApp } from './http.ts';
import { createLog } from './log.ts';
import { createMetrics } from './metrics.ts';
import { notFound } from './problem.ts';
import { route } from './route.ts';

const routes = [
  route({
    method: 'post',
    path: '/things',
    summary: 'Makes a thing.',
    body: z.object({ name: z.string().min(1), parts: z.array(z.object({ count: z.int() })).optional() }),
    responses: { 201: { description: 'Made' } },
    handle: ({ body, commandId }) => ({
      status: 201,
      headers: { Location: '/things/1' },
      body: { name: body.name, causes: currentCauses(), commandId },
    }),
  }),
  route({
    method: 'get',
    path: '/things/:id',
    summary: 'A thing.',
    params: z.object({ id: z.string() }),
    query: z.object({ limit: z.coerce.number().int().max(10).default(5) }),
    responses: { 200: { description: 'It' } },
    handle: ({ params: { id }, query: { limit } }) => {
      if (id === 'none') throw notFound('thing');
      if (id === 'refused') throw new Refusal('not-now', 'Not now.');
      if (id === 'broken') throw new Error('password is hunter2');
      return { status: 200, body: { id, limit } };
    },
  }),
];

let ready = true;
const app = createHttpApp({
  name: 'test',
  version: '1.0.0',
  routes,
  metrics: createMetrics('test'),
  log: createLog('test', 'silent'),
  idempotency: { run: (_request, handle) => handle({ newId: () => 'id', commandId: 'command' }) },
  timeLimitMs: 20_000,
  isReady: () => ready,
  bodyLimit: 1000,
});
const server = createServer(app);
let url = '';

beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

const json = { 'Content-Type': 'application/json' };

/** What the test's routes, and problems, may have in their bodies. */
interface Body {
  readonly name: string;
  readonly causes: { readonly correlationId: string };
  readonly commandId: string;
  readonly errors: readonly unknown[];
  readonly paths: Readonly<Record<string, { readonly get: { readonly summary: string } }>>;
}

async function ask(path: string, init?: RequestInit) {
  const response = await fetch(url + path, init);
  const text = await response.text();
  const type = response.headers.get('content-type') ?? '';
  const body = (type.includes('json') && text !== '' ? JSON.parse(text) : {}) as Body;
  return { status: response.status, headers: response.headers, type, text, body };
}

const post = (body: string, headers: Record<string, string> = json) =>
  ask('/things', { method: 'POST', body, headers });

function expectProblem(answer: Awaited<ReturnType<typeof ask>>, status: number, reason: string) {
  expect(answer).toMatchObject({ status, type: 'application/problem+json', body: { status, reason } });
  expect(JSON.stringify(answer.body)).not.toMatch(/at .*\.ts|hunter2/);
}

describe('the HTTP side of a service', () => {
  test('answers what a route answers', async () => {
    const answer = await post('{"name":"cup"}');
    expect(answer.status).toBe(201);
    expect(answer.headers.get('location')).toBe('/things/1');
    expect(answer.body.name).toBe('cup');
  });

  test('carries the correlation of the client, or begins one; and names the request as the cause', async () => {
    const given = await post('{"name":"cup"}', { ...json, 'X-Correlation-Id': 'mine-1' });
    expect(given.headers.get('x-correlation-id')).toBe('mine-1');
    expect(given.body.causes).toEqual({ correlationId: 'mine-1', causationId: given.body.commandId });
    expect(given.body.commandId).toBe(given.headers.get('x-request-id'));
    const bad = await post('{"name":"cup"}', { ...json, 'X-Correlation-Id': 'no spaces please' });
    expect(bad.body.causes.correlationId).toBe(bad.headers.get('x-request-id'));
  });

  test('names each wrong field of a body, a query and a path', async () => {
    const body = await post('{"parts":[{"count":"two"}]}');
    expectProblem(body, 422, 'invalid');
    expect(body.body.errors).toMatchObject([
      { field: 'name', pointer: '#/name', in: 'body' },
      { field: 'parts[0].count', pointer: '#/parts/0/count', in: 'body' },
    ]);
    const query = await ask('/things/1?limit=99');
    expectProblem(query, 422, 'invalid');
    expect(query.body.errors).toMatchObject([{ field: 'limit', in: 'query' }]);
  });

  test('says what is wrong with a body that is no JSON object at all', async () => {
    expectProblem(await post('{"name":'), 400, 'malformed-json');
    expectProblem(await post('"just text"'), 422, 'invalid');
    expectProblem(await post(''), 422, 'invalid');
    expectProblem(
      await post('name=cup', { 'Content-Type': 'application/x-www-form-urlencoded' }),
      415,
      'unsupported-media-type',
    );
    expectProblem(
      await post('{}', { 'Content-Type': 'application/json; charset=latin1' }),
      415,
      'unsupported-encoding',
    );
  });

  test('reads a body of any JSON type', async () => {
    const answer = await post('{"name":"cup"}', { 'Content-Type': 'application/merge-patch+json' });
    expect(answer).toMatchObject({ status: 201, body: { name: 'cup' } });
    expectProblem(
      await post('{"name":"cup"}', { 'Content-Type': 'text/cup+json' }),
      415,
      'unsupported-media-type',
    );
  });

  test('refuses a body over the limit', async () => {
    expectProblem(await post(JSON.stringify({ name: 'x'.repeat(2000) })), 413, 'body-too-large');
  });

  test('knows its routes and their methods', async () => {
    expectProblem(await ask('/nowhere'), 404, 'no-such-route');
    const wrong = await ask('/things', { method: 'DELETE' });
    expectProblem(wrong, 405, 'method-not-allowed');
    expect(wrong.headers.get('allow')).toBe('POST');
    expect((await ask('/things/1', { method: 'HEAD' })).status).toBe(200);
    expectProblem(await ask('/things/%E0%A4%A'), 400, 'bad-request');
  });

  test('turns what handlers throw into problems that tell nothing of the inside', async () => {
    expectProblem(await ask('/things/none'), 404, 'not-found');
    expectProblem(await ask('/things/refused'), 409, 'not-now');
    expectProblem(await ask('/things/broken'), 500, 'internal');
  });

  test('refuses a malformed Idempotency-Key', async () => {
    const answer = await post('{"name":"cup"}', { ...json, 'Idempotency-Key': 'has spaces in it' });
    expectProblem(answer, 422, 'invalid');
    expect(answer.body.errors).toMatchObject([{ field: 'Idempotency-Key', in: 'header' }]);
  });

  test('answers 503 while the service is not prepared', async () => {
    ready = false;
    try {
      const answer = await ask('/things/1');
      expectProblem(answer, 503, 'starting');
      expect(answer.headers.get('retry-after')).toBe('2');
    } finally {
      ready = true;
    }
  });

  test('describes itself, and counts by route and not by path', async () => {
    expect((await ask('/openapi.json')).body.paths['/things/{id}']?.get.summary).toBe('A thing.');
    expect((await ask('/docs')).type).toContain('text/html');
    await ask('/things/by-no-path');
    const metrics = await ask('/metrics');
    expect(metrics.text).toContain(
      'http_request_duration_seconds_count{service="test",method="GET",route="/things/:id",status="200"',
    );
    expect(metrics.text).not.toContain('by-no-path');
    expect(metrics.text).toContain('process_cpu_seconds_total');
  });
});
