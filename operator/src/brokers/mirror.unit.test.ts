import { expect, test } from '@jest/globals';
import type { Found, Step } from '@warren/topology';
import { Mirror } from './mirror.ts';

const nothing: Found = { exchanges: [], queues: [], bindings: [], policies: [] };
const queue = (name: string, args: Record<string, unknown> = {}) => ({
  name,
  durable: true,
  autoDelete: false,
  arguments: { 'x-queue-type': 'quorum', ...args },
});
const binding = (routingKey: string) =>
  ({ source: 'events', destination: 'shop.a', destinationType: 'queue', routingKey, arguments: {} }) as const;
const policy = {
  name: 'warren.0123456789.0',
  pattern: '^(shop\\.a)$',
  applyTo: 'queues',
  priority: 10,
  definition: {},
};
const declared = (name: string, args?: Record<string, unknown>): Step => ({
  step: 'declareQueue',
  queue: queue(name, args),
});

/** A reading that ends when it is told to. */
function pending() {
  let end: (found: Found) => void = () => undefined;
  const found = new Promise<Found>((resolve) => (end = resolve));
  return { read: () => found, end };
}

test('a write is seen at once, and its messages are not known', async () => {
  const mirror = new Mirror();
  await mirror.refresh(() => Promise.resolve(nothing));
  mirror.wrote(declared('shop.a'));
  mirror.wrote({ step: 'bind', binding: binding('order.placed') });
  mirror.wrote({ step: 'bind', binding: binding('order.placed') });
  mirror.wrote({ step: 'putPolicy', policy });
  mirror.wrote(
    declared('shop.a.wait.100', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'shop.a' }),
  );
  const found = mirror.reading?.found;
  expect(found?.queues.get('shop.a')).toEqual({ ...queue('shop.a'), type: 'quorum' });
  expect(found?.bindings.get('shop.a')).toEqual([binding('order.placed')]);
  expect(found?.policyIndex.byQueue.get('shop.a')).toEqual([policy]);
  expect(found?.waitQueues.get('shop.a')?.map(({ name }) => name)).toEqual(['shop.a.wait.100']);
  mirror.wrote({ step: 'unbind', binding: binding('order.placed') });
  mirror.wrote({ step: 'deletePolicy', policy: policy.name });
  mirror.wrote({ step: 'deleteQueue', queue: 'shop.a.wait.100', onlyIfEmpty: false });
  mirror.wrote({ step: 'deleteQueue', queue: 'shop.a', onlyIfEmpty: false });
  expect(found?.queues.size).toBe(0);
  expect(found?.bindings.get('shop.a') ?? []).toEqual([]);
  expect(found?.policyIndex.byQueue.size).toBe(0);
  expect(found?.waitQueues.get('shop.a')).toEqual([]);
});

test('a write that ends while a reading is under way is not lost with what the reading missed', async () => {
  const mirror = new Mirror();
  const { read, end } = pending();
  const reading = mirror.refresh(read);
  mirror.wrote(declared('shop.a'));
  end(nothing);
  expect((await reading).found.queues.has('shop.a')).toBe(true);
  expect(mirror.reading?.found.queues.has('shop.a')).toBe(true);
});

test('a write before the reading began is what the reading says it is', async () => {
  const mirror = new Mirror();
  await mirror.refresh(() => Promise.resolve(nothing));
  mirror.wrote(declared('shop.a'));
  await mirror.refresh(() => Promise.resolve(nothing));
  expect(mirror.reading?.found.queues.has('shop.a')).toBe(false);
});

test('doubted while it was read, a reading serves who waits for it and nobody after', async () => {
  const mirror = new Mirror();
  const { read, end } = pending();
  const reading = mirror.refresh(read);
  mirror.doubt();
  end({ ...nothing, queues: [{ ...queue('shop.a'), type: 'quorum' }] });
  expect((await reading).found.queues.has('shop.a')).toBe(true);
  expect(mirror.reading).toBeUndefined();
});

test('a reading that fails leaves what is there', async () => {
  const mirror = new Mirror();
  await mirror.refresh(() => Promise.resolve(nothing));
  const before = mirror.reading;
  await expect(mirror.refresh(() => Promise.reject(new Error('gone')))).rejects.toThrow('gone');
  expect(mirror.reading).toBe(before);
});

test('an exchange that is deleted takes its bindings along, also those to and from other exchanges', async () => {
  const mirror = new Mirror();
  await mirror.refresh(() => Promise.resolve(nothing));
  const exchange = { name: 'points', type: 'fanout', durable: true, autoDelete: false, arguments: {} };
  const toPoints = {
    ...binding('order.placed'),
    destination: 'points',
    destinationType: 'exchange',
  } as const;
  const through = { ...binding(''), source: 'points' };
  mirror.wrote({ step: 'declareExchange', exchange });
  mirror.wrote({ step: 'bind', binding: toPoints });
  mirror.wrote({ step: 'bind', binding: through });
  mirror.wrote({ step: 'bind', binding: binding('order.placed') });
  const found = mirror.reading?.found;
  expect(found?.exchangeBindings.get('points')).toEqual([toPoints]);
  expect(found?.bindings.get('points')).toBeUndefined();
  mirror.wrote({ step: 'deleteExchange', exchange: 'points' });
  expect(found?.exchanges.has('points')).toBe(false);
  expect(found?.exchangeBindings.get('points')).toBeUndefined();
  expect(found?.bindings.get('shop.a')).toEqual([binding('order.placed')]);
});

test('what is read to be the very same is the same inventory, until we write', async () => {
  const mirror = new Mirror();
  const first = await mirror.refresh(() => Promise.resolve(nothing));
  const second = await mirror.refresh(() => Promise.resolve({ ...nothing }));
  expect(second.found).toBe(first.found);
  expect(second.readAt).toBeGreaterThan(first.readAt);
  mirror.wrote(declared('shop.a'));
  const third = await mirror.refresh(() => Promise.resolve({ ...nothing }));
  expect(third.found).not.toBe(first.found);
  expect(third.found.queues.size).toBe(0);
});

test('a layout stays the same while only counts change', async () => {
  const filled = (messages: number, change: Partial<Found> = {}): Found => ({
    exchanges: [],
    queues: [
      { ...queue('shop.a'), type: 'quorum', policy: policy.name, effective: { expires: 1 }, messages },
    ],
    bindings: [binding('order.placed')],
    policies: [policy],
    operatorPolicies: [],
    ...change,
  });
  const mirror = new Mirror();
  const layoutOf = async (found: Found) =>
    (await mirror.refresh(() => Promise.resolve(structuredClone(found)))).found.layout;
  const first = await layoutOf(filled(0));
  expect(await layoutOf(filled(7))).toBe(first);
  expect(mirror.reading?.found.queues.get('shop.a')?.messages).toBe(7);
  const [only] = filled(7).queues;
  if (only === undefined) throw new Error('there is a queue');
  const changes: Partial<Found>[] = [
    { queues: [] },
    { queues: [only, { ...only, name: 'shop.b' }] },
    { queues: [{ ...only, policy: undefined }] },
    { queues: [{ ...only, effective: {} }] },
    { queues: [{ ...only, arguments: {} }] },
    { queues: [{ ...only, type: 'classic' }] },
    { bindings: [binding('order.paid')] },
    { policies: [{ ...policy, priority: 11 }] },
    { operatorPolicies: [policy] },
    {
      exchanges: [
        { name: 'events', type: 'topic', durable: true, autoDelete: false, internal: false, arguments: {} },
      ],
    },
  ];
  for (const change of changes) {
    const before = await layoutOf(filled(7));
    expect(await layoutOf(filled(7, change))).not.toBe(before);
  }
  mirror.wrote(declared('shop.b'));
  const written = mirror.reading?.found.layout;
  expect(await layoutOf(filled(7))).not.toBe(written);
});
