import { expect, test } from '@jest/globals';
import { Gauge, Registry } from 'prom-client';
import { startServer } from './server.ts';

test('the metrics are all there, or those that were asked for by name', async () => {
  const registry = new Registry();
  for (const name of ['depth', 'age']) new Gauge({ name, help: name, registers: [registry] }).set(1);
  await using server = await startServer({ port: 0, registry, notReady: () => [] });
  const samples = async (query: string) => {
    const answer = await fetch(`http://127.0.0.1:${server.port}/metrics${query}`, {
      headers: { connection: 'close' },
    });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, registry.contentType]);
    return (await answer.text()).split('\n').filter((line) => !line.startsWith('#') && line !== '');
  };
  expect(await samples('')).toEqual(['depth 1', 'age 1']);
  expect(await samples('?name[]=age')).toEqual(['age 1']);
  expect(await samples('?name[]=age&name%5B%5D=depth&name[]=age')).toEqual(['age 1', 'depth 1']);
  expect(await samples('?name[]=nothing')).toEqual([]);
});
