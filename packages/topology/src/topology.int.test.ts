/** What is said here about a broker, said by a broker. */
import { describe, expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import { createManagementClient } from '@warren/rabbitmq';
import type { ManagementClient } from '@warren/rabbitmq';
import { connect } from 'amqplib';
import { capabilitiesOf } from './capabilities.ts';
import { difference } from './difference.ts';
import type { Difference } from './difference.ts';
import { inventoryOf } from './inventory.ts';
import type { WantedTopology } from './objects.ts';
import { effectivePolicy } from './policies.ts';
import { policyPlan } from './policy-plan.ts';
import { removal } from './removal.ts';
import type { EventSubscriptionSpec } from './spec.ts';
import type { Step } from './steps.ts';
import { plainSpec } from './testing/plain-spec.ts';
import { wantedTopology } from './wanted.ts';

const nothing: Difference = {
  conflicts: [],
  blocked: [],
  overridden: [],
  memberships: [],
  steps: [],
  later: [],
};

class Bench implements AsyncDisposable {
  readonly client: ManagementClient;
  readonly amqpUrl: string;
  readonly #dispose: () => PromiseLike<void>;

  private constructor(broker: Awaited<ReturnType<typeof testBroker>>) {
    this.client = createManagementClient({ url: broker.managementUrl, vhost: broker.vhost });
    this.amqpUrl = broker.amqpUrl;
    this.#dispose = () => broker[Symbol.asyncDispose]();
  }

  static async open(): Promise<Bench> {
    return new Bench(await testBroker());
  }

  async wanted(change: Partial<EventSubscriptionSpec> = {}, ladder = false): Promise<WantedTopology> {
    const can = capabilitiesOf((await this.client.overview()).version);
    const spec = { ...plainSpec, ...change };
    return wantedTopology(
      { namespace: 'shop', name: 'loyalty', spec },
      ladder ? { ...can, delayedRetry: false } : can,
    );
  }

  async difference(wanted: WantedTopology): Promise<Difference> {
    return difference(wanted, inventoryOf(await this.client.inventory()));
  }

  /** One reconcile. */
  async make(wanted: WantedTopology): Promise<void> {
    const { policies } = await this.client.inventory();
    const { memberships, steps } = await this.difference(wanted);
    await this.apply([...policyPlan(memberships, policies), ...steps]);
  }

  async apply(steps: readonly Step[]): Promise<void> {
    for (const step of steps) await this.#apply(step);
  }

  #apply(step: Step): Promise<void> {
    switch (step.step) {
      case 'declareExchange':
        return this.client.declareExchange(step.exchange);
      case 'deleteExchange':
        return this.client.deleteExchange(step.exchange);
      case 'declareQueue':
        return this.client.declareQueue(step.queue);
      case 'bind':
        return this.client.bind(step.binding);
      case 'unbind':
        return this.client.unbind(step.binding);
      case 'deleteQueue':
        return this.client.deleteQueue(step.queue);
      case 'putPolicy':
        return this.client.putPolicy(step.policy);
      case 'deletePolicy':
        return this.client.deletePolicy(step.policy);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
    await this.#dispose();
  }
}

const retry = (attempts: number, initial: string, max: string): Partial<EventSubscriptionSpec> => ({
  delivery: { ...plainSpec.delivery, retry: { attempts, backoff: { initial, max } } },
});

describe('on a real broker', () => {
  test.each([
    ['delayed by the broker', false],
    ['by wait queues', true],
  ])('nothing differs after the steps, with retries %s', async (_how, ladder) => {
    await using bench = await Bench.open();
    const wanted = await bench.wanted({ queue: { type: 'quorum', maxLength: 1_000 } }, ladder);
    await bench.make(wanted);
    expect(await bench.difference(wanted)).toEqual(nothing);
  });

  test.each([{ type: 'quorum' }, { type: 'classic' }, { type: 'stream', maxAge: '7d' }] as const)(
    'a consumer that keeps an order may hold a message for all of its attempts, a month of them: %j',
    async (queue) => {
      await using bench = await Bench.open();
      const { delivery = plainSpec.delivery } = retry(30, '24h', '24h');
      const wanted = await bench.wanted({ queue, delivery: { ...delivery, ordering: 'Strict' } });
      await bench.make(wanted);
      expect(await bench.difference(wanted)).toEqual(nothing);
      const { policies } = await bench.client.inventory();
      expect(effectivePolicy(policies, 'shop.loyalty', queue.type)?.definition).toMatchObject({
        'consumer-timeout': 29 * 86_400_000 + 1_800_000,
      });
    },
  );

  test('the policy that applies is the one that is said to apply', async () => {
    await using bench = await Bench.open();
    const wanted = await bench.wanted();
    await bench.client.putPolicy({
      name: 'theirs',
      pattern: '.*',
      applyTo: 'queues',
      priority: 3,
      definition: { 'max-length': 5 },
    });
    await bench.make(wanted);
    await eventually(async () => {
      const { policies } = await bench.client.inventory();
      for (const { queue } of wanted.memberships) {
        const policy = (await bench.client.queue(queue))?.policy;
        expect(policy).toMatch(/^warren\./);
        expect(policy).toBe(effectivePolicy(policies, queue)?.name);
      }
      return true;
    });
  });

  test('changed settings move a queue to another policy, and the old one goes', async () => {
    await using bench = await Bench.open();
    await bench.make(await bench.wanted());
    const before = (await bench.client.inventory()).policies.length;
    const wanted = await bench.wanted(retry(9, '2s', '8s'));
    await bench.make(wanted);
    expect(await bench.difference(wanted)).toEqual(nothing);
    expect((await bench.client.inventory()).policies.length).toBe(before);
  });

  test('a change of the type is said, and the queue is left with what it holds', async () => {
    await using bench = await Bench.open();
    await bench.client.declareQueue({
      name: 'shop.loyalty',
      durable: true,
      autoDelete: false,
      arguments: { 'x-queue-type': 'classic' },
    });
    const { blocked, steps, memberships } = await bench.difference(await bench.wanted());
    expect(blocked).toEqual(['queue shop.loyalty is of type classic and should be quorum']);
    expect([...steps, ...memberships]).toEqual([]);
  });

  test('a message that is given back too often lies among the dead letters', async () => {
    await using bench = await Bench.open();
    await bench.make(await bench.wanted(retry(1, '1ms', '1ms')));
    const connection = await connect(bench.amqpUrl);
    try {
      const channel = await connection.createConfirmChannel();
      channel.publish('events', 'order.placed', Buffer.from('{}'), { persistent: true, mandatory: true });
      await channel.waitForConfirms();
      await channel.consume('shop.loyalty', (message) => {
        if (message !== null) channel.reject(message, true);
      });
      const dead = await eventually(async () => {
        const message = await channel.get('shop.loyalty.dead', { noAck: true });
        if (message === false) throw new Error('no dead letter yet');
        return message;
      });
      expect(dead.properties.headers?.['x-death']?.[0]).toMatchObject({
        queue: 'shop.loyalty',
        reason: 'delivery_limit',
      });
    } finally {
      await connection.close();
    }
  });

  test('a dead letter survives being given back as often as anybody likes', async () => {
    await using bench = await Bench.open();
    await bench.make(await bench.wanted());
    const connection = await connect(bench.amqpUrl);
    try {
      const channel = await connection.createConfirmChannel();
      channel.publish('failed_events', 'shop.loyalty', Buffer.from('{}'), { persistent: true });
      await channel.waitForConfirms();
      let seen = 0;
      await channel.consume('shop.loyalty.dead', (message) => {
        seen += 1;
        // RabbitMQ's own limit is 20.
        if (message !== null && seen <= 40) channel.reject(message, true);
      });
      await eventually(() => seen === 41);
    } finally {
      await connection.close();
    }
  });

  test('a wait queue gives back what it holds', async () => {
    await using bench = await Bench.open();
    const wanted = await bench.wanted(retry(2, '50ms', '50ms'), true);
    await bench.make(wanted);
    const connection = await connect(bench.amqpUrl);
    try {
      const channel = await connection.createConfirmChannel();
      channel.sendToQueue('shop.loyalty.wait.50', Buffer.from('again'), { persistent: true });
      await channel.waitForConfirms();
      const back = await eventually(async () => {
        const message = await channel.get('shop.loyalty', { noAck: true });
        if (message === false) throw new Error('not back yet');
        return message;
      });
      expect(back.content.toString()).toBe('again');
    } finally {
      await connection.close();
    }
  });

  test('a deletion leaves nothing but the shared exchanges', async () => {
    await using bench = await Bench.open();
    await bench.make(await bench.wanted({}, true));
    const decide = async () =>
      removal({
        namespace: 'shop',
        name: 'loyalty',
        deletionPolicy: 'DeleteWhenEmpty',
        found: inventoryOf(await bench.client.inventory()),
        settled: true,
      });
    await eventually(async () => {
      const { steps, memberships, done } = await decide();
      await bench.apply(steps);
      await bench.apply(policyPlan(memberships, (await bench.client.inventory()).policies));
      return done;
    });
    const { queues, bindings, policies, exchanges } = await bench.client.inventory();
    expect([...queues, ...bindings, ...policies]).toEqual([]);
    expect(exchanges.map(({ name }) => name)).toEqual(expect.arrayContaining(['events', 'failed_events']));
  });
});
