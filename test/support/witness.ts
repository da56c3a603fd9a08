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
  /** Takes what lies in a queue now, and what comes into it later. (To look and put back would count as a delivery.) */
  take(queue: string): Promise<readonly Taken[]>;
}

export interface Taken {
  readonly headers: Readonly<Record<string, unknown>>;
  readonly messageId: string;
  readonly content: Buffer;
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
    take: async (name) => {
      const taken: Taken[] = [];
      await channel.consume(name, (message) => {
        if (message === null) return;
        const { headers = {}, messageId } = message.properties;
        taken.push({ headers, messageId: String(messageId), content: message.content });
        channel.ack(message);
      });
      return taken;
    },
    [Symbol.asyncDispose]: () => connection.close(),
  };
}
