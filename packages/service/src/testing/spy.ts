/**
 * A spy on a broker: sees everything that is published to `events`, as a subscription to everything would. It also is
 * the queue without which a relay would hold its events for ever.
 */
import { decodeEvent } from '@warren/contracts';
import type { Event } from '@warren/contracts';
import { connect } from 'amqplib';
import type { ConsumeMessage } from 'amqplib';

/** What was published. */
export interface Spy extends AsyncDisposable {
  /** In the order of arrival; a message that came twice is here twice. */
  readonly messages: readonly ConsumeMessage[];
  /** Those that are events, of one type if it is given. */
  events(type?: string): Event[];
}

/** Declares `events` and its queue, and listens from now on. */
export async function openSpy(amqpUrl: string): Promise<Spy> {
  const messages: ConsumeMessage[] = [];
  const connection = await connect(amqpUrl);
  const channel = await connection.createChannel();
  await channel.assertExchange('events', 'topic', { durable: true });
  await channel.assertExchange('failed_events', 'topic', { durable: true });
  await channel.assertQueue('spy', { durable: true, arguments: { 'x-queue-type': 'quorum' } });
  await channel.bindQueue('spy', 'events', '#');
  await channel.consume('spy', (message) => {
    if (message === null) return;
    messages.push(message);
    channel.ack(message);
  });
  return {
    messages,
    events: (type) => messages.flatMap(eventOf).filter((event) => event.type === (type ?? event.type)),
    [Symbol.asyncDispose]: async () => {
      await connection.close();
    },
  };
}

function eventOf(message: ConsumeMessage): Event[] {
  try {
    return [decodeEvent(message)];
  } catch {
    return [];
  }
}
