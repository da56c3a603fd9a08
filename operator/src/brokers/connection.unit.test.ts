import { expect, jest, test } from '@jest/globals';
import { Registry } from 'prom-client';
import { capabilitiesOf, topicExchange } from '@warren/topology';
import { createOperatorMetrics } from '../metrics.ts';
import type { BrokerClient } from './client.ts';
import { BrokerConnection } from './connection.ts';

type Found = Awaited<ReturnType<BrokerClient['inventory']>>;
const nothing: Found = { exchanges: [], queues: [], bindings: [], policies: [], operatorPolicies: [] };

function connectionOf(client: Partial<BrokerClient>): BrokerConnection {
  return new BrokerConnection({
    name: 'default',
    access: { uri: 'amqp://broker', vhost: '/' },
    credentials: { mode: 'Shared' },
    version: '4.3.6',
    capabilities: capabilitiesOf('4.3.6'),
    client: client as BrokerClient,
    metrics: createOperatorMetrics(new Registry(), () => []),
    foreseen: () => [],
  });
}

/** A virtual host with nothing in it, whose writes end when they are told to. */
function slowlyWriting() {
  const written: string[] = [];
  const gate = Promise.withResolvers<undefined>();
  const write = async (what: string) => {
    written.push(what);
    await gate.promise;
  };
  const client: Partial<BrokerClient> = {
    inventory: () => Promise.resolve(nothing),
    putPolicy: ({ pattern }) => write(pattern),
    declareExchange: ({ name }) => write(name),
  };
  const connection = connectionOf(client);
  const begun = async () => {
    while (written.length === 0) await new Promise((resolve) => setImmediate(resolve));
  };
  return { connection, written, begun, end: () => gate.resolve(undefined) };
}

const declareEvents = { step: 'declareExchange', exchange: topicExchange('events') } as const;

test('one reconcile that ends waits for no policy any more, and ends the writes of no other', async () => {
  const { connection, written, begun, end } = slowlyWriting();
  const leaving = new AbortController();
  const settle = (queue: string, limit: number, signal: AbortSignal) =>
    connection.settle([{ queue, settings: { 'delivery-limit': limit } }], signal);
  const left = settle('shop.a', 5, leaving.signal);
  const other = settle('shop.b', 6, new AbortController().signal);
  await begun();
  leaving.abort(new Error('stopped'));
  await expect(left).rejects.toThrow('stopped');
  end();
  await other;
  expect(written).toHaveLength(2);
});

test('no further policy is written when no reconcile wants them any more', async () => {
  const { connection, written, begun, end } = slowlyWriting();
  const leaving = new AbortController();
  const left = connection.settle(
    [5, 6].map((limit) => ({ queue: `shop.q${limit}`, settings: { 'delivery-limit': limit } })),
    leaving.signal,
  );
  await begun();
  leaving.abort(new Error('stopped'));
  await expect(left).rejects.toThrow('stopped');
  end();
  // Those who come after it come after its end.
  await connection.settle(
    [{ queue: 'shop.q6', settings: { 'delivery-limit': 6 } }],
    AbortSignal.timeout(5_000),
  );
  expect(written).toHaveLength(2);
});

test.each(['the one who makes it', 'one who shares it'])(
  'an exchange is made for the others when %s ends',
  async (who) => {
    const { connection, written, begun, end } = slowlyWriting();
    const leaving = new AbortController();
    const stays = new AbortController();
    const signals = [leaving.signal, stays.signal];
    if (who === 'one who shares it') signals.reverse();
    const both = signals.map((signal) => connection.apply(declareEvents, signal));
    await begun();
    leaving.abort(new Error('stopped'));
    await expect(both[signals.indexOf(leaving.signal)]).rejects.toThrow('stopped');
    end();
    await both[signals.indexOf(stays.signal)];
    expect(written).toEqual(['events']);
  },
);

test('one reconcile that ends waits for no reading any more, and the reading serves the others', async () => {
  const answer = Promise.withResolvers<Found>();
  let readings = 0;
  const connection = connectionOf({
    inventory: () => {
      readings += 1;
      return answer.promise;
    },
  });
  const leaving = new AbortController();
  const { signal } = leaving;
  const reading = () => connection.inventory({ maxAgeMs: Infinity });
  const left = [
    connection.inventory({ maxAgeMs: 0, signal }),
    connection.inventoryAfter({ readAt: performance.now() }, signal),
    connection.inventoryFor(['shop.a'], { surelyMs: Infinity, signal }),
  ];
  const other = reading();
  leaving.abort(new Error('stopped'));
  for (const one of left) await expect(one).rejects.toThrow('stopped');
  answer.resolve(nothing);
  expect((await other).found).toBe((await reading()).found);
  expect(readings).toBe(1);
});

test('a reading that took long serves for longer, within bounds, but for those who are in doubt', async () => {
  let now = 0;
  using _ = jest.spyOn(performance, 'now').mockImplementation(() => now);
  let takesMs = 3_000;
  let readings = 0;
  const connection = connectionOf({
    inventory: () => {
      readings += 1;
      now += takesMs;
      return Promise.resolve(nothing);
    },
  });
  const after = async (ms: number, maxAgeMs: number) => {
    now += ms;
    await connection.inventory({ maxAgeMs });
    return readings;
  };
  expect(await after(0, 1_000)).toBe(1);
  expect(connection.restMs).toBe(12_000);
  expect(await after(8_000, 1_000)).toBe(1);
  takesMs = 60_000;
  expect(await after(2_000, 1_000)).toBe(2);
  expect(connection.restMs).toBe(20_000);
  takesMs = 10;
  expect(await after(0, 1_000)).toBe(3);
  expect(await after(0, 1_000)).toBe(3);
  expect(await after(0, 0)).toBe(4);
  connection.doubt();
  expect(connection.restMs).toBe(0);
});
