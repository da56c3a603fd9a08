/** A broker that is there, and answers slowly, wrongly, now and then or not at all: seen by what it was asked. */
import { expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import { faultProxy, html, inShare } from '../testing/fault-proxy.ts';
import type { Arrived, FaultProxy } from '../testing/fault-proxy.ts';
import { folderWorld, isReady, startFolderOperator } from '../testing/folder-operator.ts';
import type { FolderWorld, OperatorTuning, RunningOperator } from '../testing/folder-operator.ts';
import { recordCalls } from '../testing/recording-client.ts';
import { virtualHost } from '../testing/virtual-host.ts';
import type { VirtualHost } from '../testing/virtual-host.ts';

const events = ['OrderPlaced'];
const failing = (status: number) => ({ fault: 'answer', status }) as const;

interface FaultyWorld extends AsyncDisposable {
  readonly world: FolderWorld;
  /** The broker itself, past the proxy. */
  readonly host: VirtualHost;
  readonly proxy: FaultProxy;
  operate(tuning?: OperatorTuning): Promise<RunningOperator>;
}

async function faultyWorld(names: readonly string[]): Promise<FaultyWorld> {
  await using stack = new AsyncDisposableStack();
  const broker = stack.use(await testBroker());
  const host = stack.use(virtualHost(broker));
  const proxy = stack.use(await faultProxy(broker.managementUrl));
  // Nobody listens there: all that is written goes by the management API, past the proxy.
  const amqpUrl = broker.amqpUrl.replace(/@[^/]+/, '@127.0.0.1:1');
  const world = stack.use(await folderWorld({ ...broker, amqpUrl, managementUrl: proxy.managementUrl }));
  for (const name of names) await world.subscribe(name, { events });
  const all = stack.move();
  return {
    ...{ world, host, proxy },
    operate: async (tuning) => all.use(await startFolderOperator(world, tuning)),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

const named = (count: number) => Array.from({ length: count }, (_, index) => `s${index}`);
const ready = (operator: RunningOperator, names: readonly string[]) =>
  names.every((name) => isReady(operator, name));
const isWrite = ({ method }: Arrived) => method !== 'GET';
const isListing = ({ method, path }: Arrived) =>
  method === 'GET' && /^\/api\/(queues|exchanges)\/[^/]+\?/.test(path);
const warnings = (operator: RunningOperator, of: (name: string) => boolean) =>
  operator.told.filter(({ name, type }) => type === 'Warning' && of(name)).map(({ reason }) => reason);
const notTheBroker = (name: string) => name !== 'default';

test('three calls in ten fail: everything becomes Ready, nothing is done twice, and nothing is called drift', async () => {
  const names = named(20);
  await using t = await faultyWorld(names);
  t.proxy.faultOf = inShare(0.3, failing(500), html(502), failing(503), { fault: 'cut' });
  await using operator = await t.operate();
  await eventually(() => ready(operator, names), { timeoutMs: 60_000 });
  t.proxy.faultOf = () => undefined;
  for (const name of names) expect(await t.host.keysOf(`shop.${name}`)).toEqual(['order.placed']);
  const done = t.proxy.arrived
    .filter((request) => isWrite(request) && request.path.includes('/queues/'))
    .filter(({ status = 0 }) => status < 300)
    .map(({ method, path }) => `${method} ${path}`);
  expect(done.length).toBeGreaterThan(0);
  expect(done.filter((one, index) => done.indexOf(one) !== index)).toEqual([]);
  expect(warnings(operator, notTheBroker).filter((reason) => reason !== 'BrokerUnavailable')).toEqual([]);
}, 90_000);

test('a broker that has done what was asked, and whose answer is lost, is not asked for it over and over', async () => {
  const names = named(5);
  await using t = await faultyWorld(names);
  const lost = new Set<string>();
  t.proxy.faultOf = (request) => {
    const what = `${request.method} ${request.path} ${request.body}`;
    if (!isWrite(request) || lost.has(what)) return undefined;
    lost.add(what);
    return { ...failing(504), passedOn: true };
  };
  await using operator = await t.operate();
  await eventually(() => ready(operator, names), { timeoutMs: 60_000 });
  const made = t.proxy.arrived.filter(isWrite).map(({ method, path, body }) => `${method} ${path} ${body}`);
  expect(lost.size).toBeGreaterThan(10);
  expect(made.length).toBeLessThanOrEqual(2 * lost.size);
  expect(warnings(operator, notTheBroker)).toEqual([]);
  const { queues } = await t.host.api.inventory();
  expect(queues).toHaveLength(2 * names.length);
}, 90_000);

test('what is established stays Ready while the broker is slow, fails now and then or answers in HTML, and nothing is written', async () => {
  const names = named(5);
  await using t = await faultyWorld(names);
  await using operator = await t.operate();
  await eventually(() => ready(operator, names));
  const seen = new Set<string>();
  const write = operator.source.writeSubscriptionStatus.bind(operator.source);
  operator.source.writeSubscriptionStatus = (resource, status) => {
    for (const { type, status: is, reason } of status.conditions ?? [])
      if (type === 'Ready' || type === 'TopologyInSync') seen.add(`${type} ${is} ${reason}`);
    return write(resource, status);
  };
  const spells = [
    () => ({ fault: 'delay', ms: 300 }) as const,
    inShare(0.3, failing(500), failing(503)),
    inShare(0.5, html(200), html(404), { fault: 'half' }, { fault: 'cut' }),
    () => html(200),
    (request: Arrived) => (isListing(request) ? ({ fault: 'half' } as const) : undefined),
  ];
  for (const spell of spells) {
    t.proxy.reset();
    t.proxy.faultOf = spell;
    await eventually(() => t.proxy.arrived.length >= 30, { timeoutMs: 60_000 });
    expect(t.proxy.arrived.filter(isWrite)).toEqual([]);
    for (const name of names) expect(operator.condition(name, 'Ready')?.status).toBe('True');
  }
  t.proxy.faultOf = () => undefined;
  await eventually(() => operator.brokerCondition('Ready')?.status === 'True');
  expect(
    [...seen].filter((one) => one !== 'Ready True Ready' && one !== 'TopologyInSync True InSync'),
  ).toEqual([]);
  expect(warnings(operator, notTheBroker)).toEqual([]);
  expect((await t.host.api.inventory()).queues).toHaveLength(2 * names.length);
}, 120_000);

test('a broker that hangs is one condition, one event and one back-off, and all is well when it answers again', async () => {
  const names = named(20);
  await using t = await faultyWorld(names);
  const calls = recordCalls({ timeoutMs: 1_000 });
  await using operator = await t.operate({ calls });
  await eventually(() => ready(operator, names));

  t.proxy.faultOf = () => ({ fault: 'hang' });
  await eventually(() => operator.brokerCondition('Reachable')?.status === 'False');
  expect(operator.brokerCondition('Reachable')?.message).toContain('no answer within 1000 ms');
  await t.world.subscribe('new', { events });
  await eventually(() => operator.condition('new', 'Ready')?.reason === 'BrokerUnavailable');
  t.proxy.reset();
  await eventually(() => t.proxy.arrived.length >= 3);
  // Nobody but the EventBroker asks, one question after the other.
  expect(t.proxy.arrived.filter(({ path }) => !path.startsWith('/api/overview'))).toEqual([]);
  const gaps = t.proxy.arrived.slice(1).map(({ at }, index) => at - (t.proxy.arrived[index]?.at ?? 0));
  expect(Math.min(...gaps)).toBeGreaterThan(900);
  for (const name of names) expect(operator.condition(name, 'Ready')?.status).toBe('True');

  t.proxy.faultOf = () => undefined;
  await eventually(() => isReady(operator, 'new'));
  await eventually(() => operator.brokerCondition('Reachable')?.status === 'True');
  const ofBroker = operator.told.filter(({ name }) => name === 'default').map(({ reason }) => reason);
  expect(ofBroker).toEqual(['Ready', 'Unreachable', 'Ready']);
  expect(warnings(operator, notTheBroker)).toEqual([]);
}, 60_000);

test('what was edited, renamed and deleted while the broker was down is done when it is back, and only that', async () => {
  const names = ['edited', 'renamed', 'deleted', 'untouched'];
  await using t = await faultyWorld(names);
  await using operator = await t.operate();
  await eventually(() => ready(operator, names));
  t.proxy.faultOf = () => ({ fault: 'refuse' });
  await eventually(() => operator.brokerCondition('Reachable')?.status === 'False');

  await t.world.subscribe('edited', {
    events: ['PaymentApproved'],
    delivery: { ordering: 'None', prefetch: 7 },
  });
  for (const name of ['renamed', 'deleted']) await t.world.unsubscribe(name);
  await t.world.subscribe('anew', { events });
  await eventually(() => operator.condition('anew', 'Ready')?.reason === 'BrokerUnavailable');
  await eventually(() => operator.condition('deleted', 'Ready')?.reason === 'BrokerUnavailable');
  await eventually(() => operator.condition('renamed', 'Ready')?.reason === 'BrokerUnavailable');
  await t.world.subscribe('deleted', { events });
  await t.world.unsubscribe('deleted');

  t.proxy.reset();
  t.proxy.faultOf = () => undefined;
  await eventually(() => ready(operator, ['edited', 'anew', 'untouched']));
  await eventually(() => operator.source.subscriptions.list().length === 3, { timeoutMs: 30_000 });
  const { queues } = await t.host.api.inventory();
  expect(queues.map(({ name }) => name).sort()).toEqual(
    ['anew', 'edited', 'untouched'].flatMap((name) => [`shop.${name}`, `shop.${name}.dead`]),
  );
  expect(await t.host.keysOf('shop.edited')).toEqual(['payment.approved']);
  const written = t.proxy.arrived.filter(isWrite).map(({ path }) => path);
  expect(written.filter((path) => path.includes('untouched'))).toEqual([]);
  expect(warnings(operator, notTheBroker)).toEqual([]);
}, 60_000);

test('a broker that asks for a pause gets it from everybody, edits too', async () => {
  await using t = await faultyWorld(['loyalty']);
  await using operator = await t.operate();
  await eventually(() => isReady(operator, 'loyalty'));
  let askedAt = 0;
  t.proxy.faultOf = () => {
    if (askedAt !== 0) return undefined;
    askedAt = performance.now();
    return { fault: 'answer', status: 429, headers: { 'retry-after': '2' } };
  };
  await eventually(() => askedAt !== 0);
  await t.world.subscribe('loyalty', { events: ['PaymentApproved'] });
  await eventually(async () => (await t.host.keysOf('shop.loyalty')).join() === 'payment.approved');
  const writes = t.proxy.arrived.filter((request) => isWrite(request) && request.at > askedAt);
  expect(writes).toHaveLength(2);
  expect(Math.min(...writes.map(({ at }) => at)) - askedAt).toBeGreaterThan(1_900);
  expect(operator.condition('loyalty', 'Ready')?.status).toBe('True');
  expect(operator.told.filter(({ type }) => type === 'Warning')).toEqual([]);
}, 60_000);

test('a reading that is cut short, or is none, deletes nothing, even while a deletion waits for an empty queue', async () => {
  await using t = await faultyWorld(['loyalty', 'payment']);
  await using operator = await t.operate();
  await eventually(() => ready(operator, ['loyalty', 'payment']));
  await t.host.publish('order.placed', ['kept']);
  await t.world.unsubscribe('loyalty');
  await eventually(() => operator.condition('loyalty', 'Ready')?.reason === 'MessagesLeft');
  t.proxy.reset();
  const spells = [html(200), html(404), failing(404), { fault: 'half' }, { fault: 'cut' }] as const;
  let asked = 0;
  t.proxy.faultOf = ({ path }) => (path.includes('/queues/') ? spells[asked++ % spells.length] : undefined);
  await eventually(() => asked >= 30, { timeoutMs: 40_000 });
  expect(t.proxy.arrived.filter(isWrite)).toEqual([]);
  t.proxy.faultOf = () => undefined;
  await eventually(() => operator.brokerCondition('Ready')?.status === 'True');
  expect((await t.host.api.queue('shop.loyalty'))?.messages).toBe(1);
  expect(warnings(operator, notTheBroker)).toEqual(['MessagesLeft']);
}, 60_000);

test('with a rate limit no more requests than that arrive, and an edit does not wait for a resync to be over', async () => {
  const perSecond = 20;
  const names = named(60);
  await using t = await faultyWorld(names);
  await using operator = await t.operate({ resyncMs: 2_000 });
  await eventually(() => ready(operator, names), { timeoutMs: 60_000 });
  await t.world.broker({ rateLimit: { requestsPerSecond: perSecond } });
  await eventually(() => operator.source.brokers.get('default')?.status?.observedGeneration === 2);

  // Everything is to be made anew.
  t.proxy.reset();
  const began = performance.now();
  for (const name of names.slice(1)) await t.host.api.deleteQueue(`shop.${name}`);
  const repairs = () =>
    t.proxy.arrived.filter(({ method, path }) => method === 'PUT' && path.includes('/queues/'));
  await eventually(() => repairs().length >= 5, { timeoutMs: 60_000 });
  await t.world.subscribe('s0', { events: ['PaymentApproved'] });
  await eventually(async () => (await t.host.keysOf('shop.s0')).includes('payment.approved'), {
    timeoutMs: 60_000,
  });
  expect(repairs().length).toBeLessThan(names.length - 10);
  await eventually(() => repairs().length >= names.length - 1, { timeoutMs: 60_000 });

  const times = t.proxy.arrived.map(({ at }) => at).filter((at) => at > began);
  for (const from of times) {
    const within = (ms: number) => times.filter((at) => at >= from && at < from + ms).length;
    // A burst of one second's at most, and what the machine has held up.
    expect(within(1_000)).toBeLessThanOrEqual(2 * perSecond + 5);
    expect(within(3_000)).toBeLessThanOrEqual(4 * perSecond + 5);
  }
}, 120_000);
