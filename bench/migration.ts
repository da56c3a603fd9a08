/**
 * A queue with many messages is migrated by the operator (None to Strict), under live publishing and consuming.
 *
 *   movedPerSecond   while messages are moved: each of them goes out and comes back
 *   floorPerSecond   amqplib in a plain loop from one quorum queue to another: consume, publish, confirm, acknowledge
 *   ratio            of these two, in one run
 *   seconds          from the edit until it is told that it is over, with the seconds in which only counts are waited for
 */
import { eventually, testBroker } from '@warren/environment/testing';
import { connect } from 'amqplib';
import type { ConfirmChannel } from 'amqplib';
import { folderWorld, isReady, startFolderOperator } from '../operator/src/testing/folder-operator.ts';
import type { RunningOperator } from '../operator/src/testing/folder-operator.ts';
import { readSettingsOf, virtualHost } from '../operator/src/testing/virtual-host.ts';
import { numberOption } from './measure.ts';
import type { Bench, Options } from './measure.ts';

const WINDOW = 500;
const patience = { timeoutMs: 600_000, intervalMs: 100 };
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function* migration(options: Options): AsyncGenerator<Record<string, unknown>> {
  const messages = numberOption(options, 'messages', 100_000);
  const content = Buffer.alloc(numberOption(options, 'bytes', 1_000), 'x');
  const publishPerSecond = numberOption(options, 'publish', 200);
  await using broker = await testBroker();
  const raw = await connect(broker.amqpUrl, { noDelay: true });
  const channel = await raw.createConfirmChannel();
  const floorPerSecond = await floor(channel, messages, content);

  await using world = await folderWorld(broker);
  await using host = virtualHost(broker);
  await world.subscribe('loyalty', { events: ['OrderPlaced'] });
  await using operator = await startFolderOperator(world, { resyncMs: 5_000 });
  await eventually(() => isReady(operator, 'loyalty'), patience);
  await fill(channel, 'events', 'order.placed', messages, content);
  let published = messages;
  const stop = new AbortController();
  const publishing = (async () => {
    while (!stop.signal.aborted) {
      await host.publisher.publish({
        routingKey: 'order.placed',
        content,
        properties: { messageId: `m-${published}` },
      });
      published += 1;
      await pause(1_000 / publishPerSecond);
    }
  })();
  const seen = new Set<string>();
  let handled = 0;
  let handlerMs = 50;
  const settings = await readSettingsOf(world.state, 'loyalty');
  host.consume({ ...settings, prefetch: 200 }, async ({ properties }) => {
    await pause(handlerMs);
    seen.add(properties.messageId ?? '');
    handled += 1;
  });
  const begun = performance.now();
  await world.subscribe('loyalty', { events: ['OrderPlaced'], delivery: { ordering: 'Strict' } });
  const moving = await watch(operator);
  const seconds = (performance.now() - begun) / 1_000;
  const consumedMeanwhile = handled;
  stop.abort();
  await publishing;
  handlerMs = 0;
  await eventually(() => seen.size >= published, patience);
  const movedPerSecond = moving.moved / moving.seconds;
  yield {
    unit: 'messages/s',
    messages,
    bytes: content.length,
    moved: moving.moved,
    movedPerSecond: Math.round(movedPerSecond),
    floorPerSecond: Math.round(floorPerSecond),
    ratio: Number((movedPerSecond / floorPerSecond).toFixed(2)),
    seconds: Number(seconds.toFixed(1)),
    publishedMeanwhile: published - messages,
    consumedMeanwhile,
    lost: published - seen.size,
    doubled: handled - seen.size,
  };
  await raw.close();
}

/** The time of those passes that have moved something. */
async function watch(operator: RunningOperator): Promise<{ moved: number; seconds: number }> {
  let [moved, seconds, at] = [0, 0, performance.now()];
  let last = operator.resource('loyalty')?.status;
  await eventually(
    () => {
      const { status } = operator.resource('loyalty') ?? {};
      if (status === last) return false;
      last = status;
      const now = performance.now();
      const { migration } = status ?? {};
      if (migration !== undefined && migration.moved > moved) {
        seconds += (now - at) / 1_000;
        moved = migration.moved;
      }
      at = now;
      return operator.told.some(({ reason }) => reason === 'Migrated');
    },
    { ...patience, intervalMs: 5 },
  );
  return { moved, seconds };
}

async function floor(channel: ConfirmChannel, messages: number, content: Buffer): Promise<number> {
  const quorum = { arguments: { 'x-queue-type': 'quorum' } };
  await channel.assertQueue('floor.from', quorum);
  await channel.assertQueue('floor.to', quorum);
  await fill(channel, '', 'floor.from', messages, content);
  await channel.prefetch(WINDOW);
  const begun = performance.now();
  const done = Promise.withResolvers<undefined>();
  let moved = 0;
  const { consumerTag } = await channel.consume('floor.from', (message) => {
    if (message === null) return;
    channel.publish('', 'floor.to', message.content, { ...message.properties, persistent: true }, () => {
      channel.ack(message);
      if ((moved += 1) === messages) done.resolve(undefined);
    });
  });
  await done.promise;
  const seconds = (performance.now() - begun) / 1_000;
  await channel.cancel(consumerTag);
  for (const queue of ['floor.from', 'floor.to']) await channel.deleteQueue(queue);
  return messages / seconds;
}

async function fill(
  channel: ConfirmChannel,
  exchange: string,
  routingKey: string,
  messages: number,
  content: Buffer,
): Promise<void> {
  for (let sent = 0; sent < messages; sent += 1) {
    channel.publish(exchange, routingKey, content, { persistent: true, messageId: `m-${sent}` });
    if (sent % 1_000 === 999) await channel.waitForConfirms();
  }
  await channel.waitForConfirms();
}

export const benches: Record<string, Bench> = {
  migration: {
    about: 'a queue is made anew under live traffic, against a plain loop',
    options: {
      messages: 'that wait in it; 100000',
      bytes: 'of a message; 1000',
      publish: 'messages a second meanwhile; 200',
    },
    run: migration,
  },
};
