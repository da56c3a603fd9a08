/**
 * Where messages are put aside (dead letters; wait queues of the ladder): a confirm channel on a connection of its own, made
 * when it is first needed. A broker alarm blocks connections that publish, and must not block acknowledgements.
 */
import type { BrokerConnection } from './connection.ts';
import { createPublisher, type Publisher } from './publisher.ts';

export class Aside {
  readonly #connection: BrokerConnection;
  readonly #republishOn: BrokerConnection | undefined;
  #made: { connection: BrokerConnection | undefined; publisher: Publisher } | undefined;

  constructor(connection: BrokerConnection, republishOn: BrokerConnection | undefined) {
    this.#connection = connection;
    this.#republishOn = republishOn;
  }

  publisher(exchange: string): Publisher {
    if (this.#made === undefined) {
      const connection =
        this.#republishOn === undefined
          ? this.#connection.sibling(`${this.#connection.name} (put aside)`)
          : undefined;
      const publisher = createPublisher(this.#republishOn ?? (connection as BrokerConnection), {
        exchange,
        maxMessageBytes: Infinity, // it came from the broker, so the broker takes it
      });
      this.#made = { connection, publisher };
    }
    return this.#made.publisher;
  }

  /** It may be used again afterwards. */
  async close(drainMs: number): Promise<void> {
    const made = this.#made;
    this.#made = undefined;
    await made?.publisher.close({ drainMs });
    await made?.connection?.close();
  }
}
