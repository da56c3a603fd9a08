// What somebody else has under the names that Warren gives its objects stays as it is, and the subscription says so.
import { expect, test } from '@jest/globals';
import { dedicatedBroker, eventually, testBroker } from '@warren/environment/testing';
import { isReady } from '../testing/folder-operator.ts';
import { hashingBroker } from '../testing/keyed.ts';
import { recordCalls } from '../testing/recording-client.ts';
import { shopWorld } from '../testing/shop-world.ts';
import { agree, isSettled } from '../testing/takeover-world.ts';
import { readSettingsOf } from '../testing/virtual-host.ts';
import type { VirtualHost } from '../testing/virtual-host.ts';

const events = ['OrderPlaced'];
const THEIRS = ['exchange shop.loyalty.points', 'queue shop.loyalty.waited'];

/** A topic exchange `….points` and a queue `….waited` behind it, with a message. */
async function makeTheirs(host: VirtualHost): Promise<void> {
  const { api, publisher } = host;
  const [exchange, queue] = ['shop.loyalty.points', 'shop.loyalty.waited'];
  await api.declareExchange({
    name: exchange,
    type: 'topic',
    durable: true,
    autoDelete: false,
    arguments: {},
  });
  await host.declareByHand(queue);
  await api.bind({
    source: exchange,
    destination: queue,
    destinationType: 'queue',
    routingKey: '#',
    arguments: {},
  });
  await publisher.publish({ exchange, routingKey: 'a.key', content: Buffer.from('theirs') });
}

async function expectTheirs({ api }: VirtualHost): Promise<void> {
  const { exchanges, bindings } = await api.inventory();
  expect(exchanges).toContainEqual(expect.objectContaining({ name: 'shop.loyalty.points', type: 'topic' }));
  expect(bindings.filter(({ source }) => source === 'shop.loyalty.points')).toEqual([
    expect.objectContaining({ destination: 'shop.loyalty.waited', routingKey: '#' }),
  ]);
  await eventually(async () => (await api.queue('shop.loyalty.waited'))?.messages === 1);
}

async function removeTheirs({ api }: VirtualHost): Promise<void> {
  await api.deleteQueue('shop.loyalty.waited');
  await api.deleteExchange('shop.loyalty.points');
}

test.concurrent(
  'under the names of a migration: a conflict that says what to do, in a deletion too, and over when they are gone',
  async () => {
    await using shop = await shopWorld(await testBroker(), { loyalty: { events, deletionPolicy: 'Delete' } });
    const { operator, world, host } = shop;
    await makeTheirs(host);
    const sentences = THEIRS.map(
      (theirs) =>
        `${theirs} is somebody else's, and Warren makes one of that name while it migrates queue shop.loyalty: ` +
        'delete it or choose another name',
    );
    await eventually(() => {
      const { reason, message } = operator.condition('loyalty', 'Ready') ?? {};
      return reason === 'Conflict' && sentences.every((sentence) => message?.includes(sentence));
    });
    await world.subscribe('loyalty', { events, deletionPolicy: 'Delete', delivery: { ordering: 'Strict' } });
    await eventually(
      () =>
        operator.condition('loyalty', 'Ready')?.observedGeneration ===
        operator.resource('loyalty')?.metadata.generation,
    );
    await expectTheirs(host);
    expect((await host.api.queue('shop.loyalty'))?.arguments).not.toHaveProperty('x-single-active-consumer');

    await removeTheirs(host);
    await eventually(() => isSettled(operator, 'loyalty'), { timeoutMs: 60_000 });
    expect((await host.api.queue('shop.loyalty'))?.arguments).toHaveProperty('x-single-active-consumer');

    await makeTheirs(host);
    await world.unsubscribe('loyalty');
    await eventually(() => operator.resource('loyalty') === undefined);
    await expectTheirs(host);
    expect((await host.api.inventory()).queues.map(({ name }) => name)).toEqual(['shop.loyalty.waited']);
  },
  120_000,
);

test.concurrent(
  'under the names of a migration, before the subscription: it makes nothing until they are gone',
  async () => {
    await using shop = await shopWorld(await testBroker());
    const { operator, world, host } = shop;
    await makeTheirs(host);
    await world.subscribe('loyalty', { events });
    await eventually(() => operator.condition('loyalty', 'Ready')?.reason === 'Conflict');
    expect(operator.resource('loyalty')?.metadata.finalizers ?? []).toEqual([]);
    await expectTheirs(host);
    expect(await host.api.queue('shop.loyalty')).toBeUndefined();
    await removeTheirs(host);
    await eventually(() => isReady(operator, 'loyalty'));
  },
);

test.concurrent(
  'under the names of a takeover: it waits and says for what, and goes on when they are gone',
  async () => {
    await using shop = await shopWorld(await testBroker(), { loyalty: { events } });
    const { operator, host } = shop;
    await host.publish('order.placed', ['mine']);
    await makeTheirs(host);
    await agree(shop, { events });
    await eventually(() => {
      const { reason, message } = operator.condition('points', 'TopologyInSync') ?? {};
      return reason === 'TakingOver' && message?.includes("queue shop.loyalty.waited is somebody else's");
    });
    await expectTheirs(host);
    await removeTheirs(host);
    await eventually(() => isSettled(operator, 'points'), { timeoutMs: 60_000 });
    await eventually(async () => (await host.api.queue('shop.points'))?.messages === 1);
  },
  120_000,
);

/** Its messages are theirs. */
async function declareTheirs(host: VirtualHost, queue: string): Promise<void> {
  await host.declareByHand(queue);
  await host.publisher.publish({ exchange: '', routingKey: queue, content: Buffer.from('theirs') });
}

test.concurrent.each([
  {
    wanting: 'a stream',
    theirs: ['shop.loyalty.retry', 'shop.loyalty.offset'],
    edit: { queue: { type: 'stream', maxAge: '7d' } },
    makes: 'shop.loyalty.offset',
    onBroker: () => testBroker(),
  },
  {
    wanting: 'partitions',
    theirs: ['shop.loyalty.partition.03', 'shop.loyalty.partition.07'],
    edit: { delivery: { ordering: 'PerKey', partitions: 8 } },
    makes: 'shop.loyalty.partition.03',
    onBroker: () => hashingBroker({ testBroker, dedicatedBroker }),
  },
])(
  'under names that an edit newly wants, for $wanting: the edit waits and says for what, and takes place when they are gone',
  async ({ theirs, edit, makes, onBroker }) => {
    const loyalty = { events, deletionPolicy: 'Delete' };
    await using shop = await shopWorld(await onBroker(), { loyalty });
    const { operator, world, host } = shop;
    for (const name of theirs) await declareTheirs(host, name);
    await world.subscribe('loyalty', { ...loyalty, ...edit });
    await eventually(() => {
      const { reason, message } = operator.condition('loyalty', 'Ready') ?? {};
      return (
        reason === 'Conflict' &&
        theirs.every((name) => message?.includes(`${name} is somebody else's`) === true)
      );
    });
    for (const name of theirs) await eventually(async () => (await host.api.queue(name))?.messages === 1);
    expect((await host.api.queue('shop.loyalty'))?.type).toBe('quorum');
    for (const name of theirs) await host.api.deleteQueue(name);
    await eventually(() => isSettled(operator, 'loyalty'), { timeoutMs: 60_000 });
    expect(await host.api.queue(makes)).toBeDefined();
  },
  120_000,
);

test.concurrent(
  'under the name of a partition, declared after the reading that began the migration: it makes nothing until it is gone',
  async () => {
    const calls = recordCalls();
    const { loyalty, theirs } = { loyalty: { events }, theirs: 'shop.loyalty.partition.03' };
    await using shop = await shopWorld(
      await hashingBroker({ testBroker, dedicatedBroker }),
      { loyalty },
      { calls, resyncMs: 60_000 },
    );
    const { operator, world, host } = shop;
    // What is known is compared, and finds no conflict; only the pass reads anew.
    let isDeclared = false;
    calls.before = async (call) => {
      if (call !== 'inventory' || isDeclared) return;
      isDeclared = true;
      await declareTheirs(host, theirs);
    };
    calls.reset();
    await world.subscribe('loyalty', { ...loyalty, delivery: { ordering: 'PerKey', partitions: 8 } });
    const told = () => operator.condition('loyalty', 'Ready')?.message ?? '';
    await eventually(() => isDeclared && told().includes(`queue ${theirs} is somebody else's`));
    const made = calls.made.filter((call) => ['declareExchange', 'declareQueue', 'bind'].includes(call));
    expect(made).toEqual([]);
    await eventually(async () => (await host.api.queue(theirs))?.messages === 1);
    await host.api.deleteQueue(theirs);
    await eventually(() => isSettled(operator, 'loyalty'), { timeoutMs: 60_000 });
    expect((await host.api.bindingsOf(theirs)).map(({ source }) => source)).toContain('shop.loyalty.keys');
  },
  120_000,
);

test.concurrent(
  'called like a partition, beside a subscription that has none: it is in sync, and its deletion leaves them',
  async () => {
    const loyalty = { events, deletionPolicy: 'Delete' };
    await using shop = await shopWorld(await testBroker(), { loyalty });
    const { operator, world, host } = shop;
    const theirs = 'shop.loyalty.partition.77';
    await declareTheirs(host, theirs);
    await world.subscribe('loyalty', { ...loyalty, events: ['OrderPlaced', 'PaymentApproved'] });
    await eventually(async () => (await host.keysOf('shop.loyalty')).length === 2);
    await eventually(() => isSettled(operator, 'loyalty'));
    expect(operator.told.map(({ reason }) => reason)).not.toContain('MigrationStarted');
    await world.unsubscribe('loyalty');
    await eventually(() => operator.resource('loyalty') === undefined);
    expect((await host.api.inventory()).queues.map(({ name }) => name)).toEqual([theirs]);
    await eventually(async () => (await host.api.queue(theirs))?.messages === 1);
  },
);

test.concurrent(
  'what other people have bound to a queue leads into it while it holds messages, and no more when it is deleted',
  async () => {
    const calls = recordCalls();
    await using shop = await shopWorld(await testBroker(), { loyalty: { events } }, { calls });
    const { operator, world, host } = shop;
    const settings = await readSettingsOf(world.state, 'loyalty');
    await host.api.bind({
      source: 'amq.topic',
      destination: 'shop.loyalty',
      destinationType: 'queue',
      routingKey: 'legacy',
      arguments: {},
    });
    const publishTheirs = () =>
      host.publisher.publish({
        exchange: 'amq.topic',
        routingKey: 'legacy',
        content: Buffer.from('theirs'),
      });
    await host.publish('order.placed', ['mine']);
    await world.unsubscribe('loyalty');
    await eventually(() => operator.told.some(({ reason }) => reason === 'MessagesLeft'));
    await publishTheirs();
    const lost: string[] = [];
    // The broker's counts would not know of it before the queue is gone.
    calls.before = async (call) => {
      if (call !== 'deleteQueue') return;
      await publishTheirs().then(
        () => lost.push('theirs'),
        () => undefined,
      );
    };
    const seen: string[] = [];
    host.consume(settings, ({ content }) => {
      seen.push(content.toString());
      return Promise.resolve();
    });
    await eventually(() => operator.resource('loyalty') === undefined, { timeoutMs: 60_000 });
    expect(seen).toEqual(['mine', 'theirs']);
    expect(calls.made).toContain('deleteQueue');
    expect(lost).toEqual([]);
  },
  90_000,
);

test.concurrent(
  'declared after the reading on which policies were foreseen: it is a conflict, and loses the policy again',
  async () => {
    const calls = recordCalls();
    // Nothing but a doubt has the broker read anew: neither the next resync nor an event of the queue that is declared.
    calls.after = (call, result) => (call === 'eventExchangeAt' ? undefined : result);
    await using shop = await shopWorld(
      await testBroker(),
      { first: { events } },
      { calls, resyncMs: 60_000 },
    );
    const { operator, world, host } = shop;
    const queue = 'shop.loyalty';
    const isNamed = async () =>
      (await host.api.inventory()).policies.some(({ pattern }) => pattern.includes('loyalty'));
    await host.declareByHand(queue);
    await host.api.bind({
      source: 'amq.topic',
      destination: queue,
      destinationType: 'queue',
      routingKey: 'a.key',
      arguments: {},
    });
    await host.publisher.publish({
      exchange: 'amq.topic',
      routingKey: 'a.key',
      content: Buffer.from('theirs'),
    });
    let wasNamed = false;
    // The one whose queue is there reads anew, when another one has written the policies for both.
    calls.before = async (call) => {
      if (call === 'inventory' && !wasNamed) await eventually(isNamed).then(() => (wasNamed = true));
    };
    await world.subscribe('loyalty', { events, deletionPolicy: 'Delete' });
    await world.subscribe('other', { events });
    await eventually(() => operator.condition('loyalty', 'Ready')?.reason === 'Conflict');
    expect(wasNamed).toBe(true);
    expect(operator.condition('loyalty', 'Ready')?.message).toContain(
      `queue ${queue} existed before this subscription: to take it over, annotate it with warren.events/adopt=true`,
    );
    await eventually(async () => !(await isNamed()));
    await eventually(() => isReady(operator, 'other'));
    await world.unsubscribe('loyalty');
    await eventually(() => operator.resource('loyalty') === undefined);
    expect(
      (await host.api.bindingsOf(queue)).map(({ source }) => source).filter((source) => source !== ''),
    ).toEqual(['amq.topic']);
    await eventually(async () => (await host.api.queue(queue))?.messages === 1);
  },
);
