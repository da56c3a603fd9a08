/** A queue of the test's own that sees every event on the exchange, as it travels. */
import { connect } from 'amqplib';
import { decodeEvent, encodeEvent, routingKeyOf, type Event } from '@warren/contracts';

export interface Witness extends AsyncDisposable {
  /** Every message that came by, in order; duplicates included. */
  readonly events: readonly Event[];
  /** Publishes as somebody else would; waits for the confirm. */
  publish(event: Event): Promise<void>;
  /** Publishes bytes that need not be an event. */
  publishRaw(routingKey: string, content: Buffer, properties?: Record<string, unknown>): Promise<void>;
  /** What lies in a queue, which keeps it. */
  peek(queue: string): Promise<{ headers: Record<string, unknown>; messageId: string; content: Buffer }[]>;
}

export async function startWitness(amqpUrl: string): Promise<Witness> {
  const connection = await connect(amqpUrl);
  connection.on('error', () => undefined);
  const channel = await connection.createConfirmChannel();
  channel.on('error', () => undefined);
  const { queue } = await channel.assertQueue('', { exclusive: true });
  await channel.bindQueue(queue, 'events', '#');
  const events: Event[] = [];
  await channel.consume(
    queue,
    (message) => {
      if (message === null) return;
      try {
        events.push(decodeEvent(message));
      } catch {
        // Tests publish what is no event, too.
      }
    },
    { noAck: true },
  );
  const publishRaw = async (
    routingKey: string,
    content: Buffer,
    properties: Record<string, unknown> = {},
  ) => {
    channel.publish('events', routingKey, content, { persistent: true, ...properties });
    await channel.waitForConfirms();
  };
  return {
    events,
    publishRaw,
    publish: async (event) => {
      const { content, properties } = encodeEvent(event);
      await publishRaw(routingKeyOf(event.type), content, properties);
    },
    peek: async (name) => {
      // A channel of its own: closing it gives everything back.
      const peeking = await connection.createChannel();
      const found = [];
      for (;;) {
        const message = await peeking.get(name);
        if (message === false) break;
        const { headers = {}, messageId } = message.properties;
        found.push({ headers, messageId: String(messageId), content: message.content });
      }
      await peeking.close();
      return found;
    },
    [Symbol.asyncDispose]: () => connection.close(),
  };
}
