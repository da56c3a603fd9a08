/**
 * A subscription for a test of one service: its objects on a real broker and its binding in a folder, as the operator
 * would make them.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeEvent, routingKeyOf } from '@warren/contracts';
import type { Event } from '@warren/contracts';
import { connect } from 'amqplib';
import type { Message } from 'amqplib';

/** What a test does with a subscription. */
export interface TestSubscription extends AsyncDisposable {
  readonly queue: string;
  /** Publishes as another service would; confirmed. */
  publish(...events: readonly Event[]): Promise<void>;
  /** Publishes anything. */
  publishRaw(routingKey: string, content: Buffer, properties?: object): Promise<void>;
  /** Messages that wait in the queue, those in flight not counted. */
  depth(): Promise<number>;
  /** Takes one dead letter, if there is one. */
  deadLetter(): Promise<Message | undefined>;
  /** Writes the binding anew, with these entries changed. */
  rebind(entries?: Readonly<Record<string, string>>): Promise<void>;
  /** Removes the binding. */
  unbind(): Promise<void>;
}

/** Where and what. */
export interface TestSubscriptionOptions {
  readonly amqpUrl: string;
  /** SERVICE_BINDING_ROOT */
  readonly root: string;
  readonly name: string;
  /** Routing patterns. */
  readonly patterns: readonly string[];
  readonly attempts?: number;
  readonly prefetch?: number;
  /** The first delay of the broker's retries. */
  readonly retryMs?: number;
  /** Does not write the binding yet; `rebind()` does. */
  readonly unbound?: boolean;
}

/** Declares `events`, `failed_events`, `test.<name>` and its dead-letter queue, and binds the service to it. */
export async function openSubscription(options: TestSubscriptionOptions): Promise<TestSubscription> {
  const { amqpUrl, root, name, attempts = 3, prefetch = 10, retryMs = 50 } = options;
  const queue = `test.${name}`;
  const dead = `${queue}.dead`;
  const connection = await connect(amqpUrl);
  const channel = await connection.createConfirmChannel();
  await channel.assertExchange('events', 'topic', { durable: true });
  await channel.assertExchange('failed_events', 'topic', { durable: true });
  await channel.assertQueue(queue, {
    durable: true,
    arguments: {
      'x-queue-type': 'quorum',
      'x-dead-letter-exchange': 'failed_events',
      'x-dead-letter-routing-key': queue,
      'x-dead-letter-strategy': 'at-least-once',
      'x-overflow': 'reject-publish',
      'x-delivery-limit': attempts + 20,
      'x-delayed-retry-type': 'all',
      'x-delayed-retry-min': retryMs,
      'x-delayed-retry-max': retryMs * 10,
    },
  });
  for (const pattern of options.patterns) await channel.bindQueue(queue, 'events', pattern);
  await channel.assertQueue(dead, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
  await channel.bindQueue(dead, 'failed_events', queue);

  const folder = join(root, name);
  const entries = {
    type: 'rabbitmq',
    provider: 'warren',
    uri: amqpUrl,
    subscription: `test/${name}`,
    queue,
    prefetch: String(prefetch),
    attempts: String(attempts),
    ordering: 'None',
    'retry-mode': 'broker',
    'dead-letter-exchange': 'failed_events',
    'dead-letter-routing-key': queue,
  };
  const rebind = async (changed: Readonly<Record<string, string>> = {}) => {
    await mkdir(folder, { recursive: true });
    for (const [key, value] of Object.entries({ ...entries, ...changed })) {
      await writeFile(join(folder, key), value);
    }
  };
  if (options.unbound !== true) await rebind();

  const publishRaw = async (routingKey: string, content: Buffer, properties: object = {}) => {
    channel.publish('events', routingKey, content, { persistent: true, ...properties });
    await channel.waitForConfirms();
  };
  return {
    queue,
    rebind,
    publishRaw,
    unbind: () => rm(folder, { recursive: true, force: true }),
    publish: async (...events) => {
      for (const event of events) {
        const { content, properties } = encodeEvent(event);
        channel.publish('events', routingKeyOf(event.type), content, { persistent: true, ...properties });
      }
      await channel.waitForConfirms();
    },
    depth: async () => (await channel.checkQueue(queue)).messageCount,
    deadLetter: async () => {
      const message = await channel.get(dead, { noAck: true });
      return message === false ? undefined : message;
    },
    [Symbol.asyncDispose]: async () => {
      await connection.close();
    },
  };
}
