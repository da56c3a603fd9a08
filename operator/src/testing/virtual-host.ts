/** For tests: a look into a virtual host, and messages in and out of it. */
import { connectBroker, createConsumer, createManagementClient, createPublisher } from '@warren/rabbitmq';
import type { BrokerConnection, Consumer, Handler, ManagementClient, Publisher } from '@warren/rabbitmq';
import type { ConsumerSettings } from '@warren/rabbitmq';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface VirtualHost extends AsyncDisposable {
  readonly api: ManagementClient;
  readonly publisher: Publisher;
  publish(routingKey: string, ids: readonly string[]): Promise<void>;
  consume(settings: ConsumerSettings, handle: Handler): Consumer;
  /** A durable queue that no subscription has made; a quorum queue where nothing else is said. */
  declareByHand(queue: string, args?: Record<string, unknown>): Promise<void>;
  /** Takes a queue away from `events`, as somebody would who drifts it. */
  unbindByHand(queue: string, routingKey: string): Promise<void>;
  /** The routing keys by which a queue is bound to `events`. */
  keysOf(queue: string): Promise<string[]>;
  /** What the policy that applies to a queue sets, as the broker says. */
  policyOf(queue: string): Promise<Record<string, unknown> | undefined>;
}

export function virtualHost(access: { amqpUrl: string; managementUrl: string; vhost: string }): VirtualHost {
  const api = createManagementClient({ url: access.managementUrl, vhost: access.vhost });
  const connect = (name: string) => connectBroker({ url: access.amqpUrl, name: `operator-test: ${name}` });
  const publishing = connect('publisher');
  // Of its own: a broker ends a whole connection when it cannot begin to consume from a queue that is just going.
  let consuming: BrokerConnection | undefined;
  const publisher = createPublisher(publishing, { exchange: 'events' });
  const consumers: Consumer[] = [];
  return {
    api,
    publisher,
    publish: async (routingKey, ids) => {
      await Promise.all(
        ids.map((id) =>
          publisher.publish({ routingKey, content: Buffer.from(id), properties: { messageId: id } }),
        ),
      );
    },
    consume: (settings, handle) => {
      consuming ??= connect('consumers');
      const consumer = createConsumer(consuming, { settings, handle });
      consumers.push(consumer);
      consumer.start();
      return consumer;
    },
    declareByHand: (name, args = { 'x-queue-type': 'quorum' }) =>
      api.declareQueue({ name, durable: true, autoDelete: false, arguments: args }),
    unbindByHand: (destination, routingKey) =>
      api.unbind({ source: 'events', destination, destinationType: 'queue', routingKey, arguments: {} }),
    keysOf: async (queue) =>
      (await api.bindingsOf(queue))
        .filter(({ source }) => source === 'events')
        .map(({ routingKey }) => routingKey)
        .sort(),
    policyOf: async (queue) => {
      const { policies } = await api.inventory();
      const { policy } = (await api.queue(queue)) ?? {};
      return policies.find(({ name }) => name === policy)?.definition;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(consumers.map((consumer) => consumer.stop({ deadlineMs: 1_000 })));
      await publisher.close();
      await Promise.all([publishing.close(), consuming?.close()]);
      await api.close();
    },
  };
}

/** A consumer's settings out of the files of its binding, as a service reads them. */
export async function readSettingsOf(state: string, name: string): Promise<ConsumerSettings> {
  const read = (key: string) => readFile(join(state, 'bindings', 'shop', name, key), 'utf8');
  const mode = await read('retry-mode');
  const type = await read('queue-type').catch(() => undefined);
  const partitions = await read('partitions').catch(() => undefined);
  return {
    subscription: await read('subscription'),
    queue: await read('queue'),
    prefetch: Number(await read('prefetch')),
    attempts: Number(await read('attempts')),
    deadLetter: {
      exchange: await read('dead-letter-exchange'),
      routingKey: await read('dead-letter-routing-key'),
    },
    retry:
      mode === 'ladder'
        ? {
            mode: 'ladder',
            waits: JSON.parse(await read('retry-waits')) as { queue: string; delayMs: number }[],
          }
        : mode === 'in-place'
          ? { mode: 'in-place', delays: JSON.parse(await read('retry-delays')) as number[] }
          : { mode: 'broker' },
    strict: (await read('ordering')) !== 'None',
    ...(partitions === undefined ? {} : { partitions: JSON.parse(partitions) as string[] }),
    ...(type === 'stream'
      ? {
          stream: {
            offsets: await read('stream-offsets'),
            retries: await read('stream-retries'),
            startFrom: await read('stream-start-from'),
          },
        }
      : {}),
  };
}

/** The settings of one who takes dead letters out. */
export function deadLettersOf(settings: ConsumerSettings): ConsumerSettings {
  const { stream: _, ...rest } = settings;
  return { ...rest, queue: `${settings.queue}.dead`, retry: { mode: 'broker' } };
}
