/** For tests of ordering by key: who publishes, who consumes and follows its binding, and a book of what was handled. */
import { setTimeout as paused } from 'node:timers/promises';
import { createManagementClient } from '@warren/rabbitmq';
import type { ConsumerSettings, Delivery, Handler } from '@warren/rabbitmq';
import { HASH_EXCHANGE } from '@warren/topology';
import type { BrokerAccess } from './shop-world.ts';
import { readSettingsOf } from './virtual-host.ts';
import type { VirtualHost } from './virtual-host.ts';

const KEYS = 20;

/** The environment's; given, because nothing here may know it. */
interface Brokers<Broker, Own> {
  testBroker: (options?: { on: Own }) => Promise<Broker>;
  dedicatedBroker: () => Promise<Own>;
}

/** On the broker that runs, where that has it; else on one of its own. */
export async function hashingBroker<Broker extends BrokerAccess, Own extends AsyncDisposable>({
  testBroker,
  dedicatedBroker,
}: Brokers<Broker, Own>): Promise<Broker> {
  const shared = await testBroker();
  if (await hashes(shared)) return shared;
  await shared[Symbol.asyncDispose]();
  const on = await dedicatedBroker();
  const broker = await testBroker({ on });
  return {
    ...broker,
    [Symbol.asyncDispose]: async () => {
      await broker[Symbol.asyncDispose]();
      await on[Symbol.asyncDispose]();
    },
  };
}

/** Whether the broker of a virtual host has the exchange type of the plugin. */
export async function hashes({ managementUrl, vhost }: BrokerAccess): Promise<boolean> {
  await using api = createManagementClient({ url: managementUrl, vhost });
  const { exchangeTypes = [] } = await api.overview();
  return exchangeTypes.includes(HASH_EXCHANGE);
}

/** Publishes the next numbers of every key, in their order. */
export function keyedPublisher({ publisher: to }: VirtualHost) {
  let next = 0;
  return {
    get published() {
      return next * KEYS;
    },
    round: async () => {
      const number = next;
      next += 1;
      await Promise.all(
        Array.from({ length: KEYS }, (_, key) =>
          to.publish({
            routingKey: 'order.placed',
            content: Buffer.from(`${key}:${number}`),
            properties: {
              messageId: `${key}:${number}`,
              headers: { cloudEvents_subject: `order-${key}` },
            },
          }),
        ),
      );
    },
  };
}

/** What was handled, what came again, and whether any key's events came out of order or beside each other. */
export function ledger() {
  const handled = new Set<string>();
  const newest = new Map<string, number>();
  /** By key, what is in hand. */
  const busy = new Map<string, string>();
  const beside: string[] = [];
  /** By key, what came after a newer one. */
  const late = new Map<string, string[]>();
  const again: string[] = [];
  return {
    handled,
    again,
    /**
     * What may not be: two events of one key in hand at once, and a key with more events out of their place than there were
     * migrations. Each may displace one that is published while its last step is made (ADR 0015).
     */
    wrong: ({ migrations }: { migrations: number }): string[] => [
      ...beside,
      ...[...late.values()].filter((lines) => lines.length > migrations).flat(),
    ],
    handle: async ({ content, queue, redelivered }: Delivery) => {
      const id = content.toString();
      const [key = '', text = ''] = id.split(':');
      const number = Number(text);
      const inHand = `${id} of ${queue}${redelivered ? ', redelivered' : ''}${handled.has(id) ? ', again' : ''}`;
      const other = busy.get(key);
      if (other !== undefined) beside.push(`${inHand} beside ${other}`);
      busy.set(key, inHand);
      await paused(Math.random() < 0.05 ? 2 : 0);
      busy.delete(key);
      if (handled.has(id)) {
        again.push(id);
        return;
      }
      const before = newest.get(key) ?? -1;
      if (number < before) late.set(key, [...(late.get(key) ?? []), `${inHand} after ${key}:${before}`]);
      newest.set(key, Math.max(number, before));
      handled.add(id);
    },
  };
}

/** A consumer that follows its binding, as a service does. */
export async function following(
  host: VirtualHost,
  state: string,
  name: string,
  handle: Handler,
): Promise<AsyncDisposable> {
  let settings: ConsumerSettings = await readSettingsOf(state, name);
  const consumer = host.consume(settings, handle);
  const stop = new AbortController();
  const watching = (async () => {
    while (!stop.signal.aborted) {
      await paused(30);
      const now = await readSettingsOf(state, name).catch(() => settings);
      if (JSON.stringify(now) === JSON.stringify(settings)) continue;
      settings = now;
      await consumer.update(settings);
    }
  })();
  return {
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await watching;
      await consumer.stop({ deadlineMs: 1_000 });
    },
  };
}
