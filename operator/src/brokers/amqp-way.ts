/** The operator's way to a broker by AMQP: one connection, made when it is first needed and kept. */
import { connectBroker, createTopologyWriter } from '@warren/rabbitmq';
import type {
  BrokerConnection,
  ConnectOptions,
  TopologyWriter,
  TopologyWriterOptions,
} from '@warren/rabbitmq';

/** Whoever writes waits so long for the first answer of a broker that is not there: milliseconds. */
const CONNECT_LIMIT_MS = 3_000;
/** One that comes back is to be used again soon: milliseconds. */
const BACKOFF = { initialMs: 100, maxMs: 5_000 };

export class AmqpWay {
  readonly #address: Pick<ConnectOptions, 'url' | 'tls'>;
  readonly #options: Omit<TopologyWriterOptions, 'connection'>;
  #made: { connection: BrokerConnection; writer: TopologyWriter } | undefined;

  constructor(
    address: Pick<ConnectOptions, 'url' | 'tls'>,
    options: Omit<TopologyWriterOptions, 'connection'>,
  ) {
    this.#address = address;
    this.#options = options;
  }

  /** Undefined while the broker cannot be reached by AMQP. */
  async writer(): Promise<TopologyWriter | undefined> {
    this.#made ??= this.#make();
    const { connection, writer } = this.#made;
    return (await isReachable(connection)) ? writer : undefined;
  }

  async close(): Promise<void> {
    await this.#made?.connection.close();
  }

  #make() {
    const connection = connectBroker({
      ...this.#address,
      name: 'warren-operator',
      connectTimeoutMs: CONNECT_LIMIT_MS,
      backoff: BACKOFF,
    });
    return { connection, writer: createTopologyWriter({ ...this.#options, connection }) };
  }
}

/** Waits for the first try of a new connection, and for none of one that was lost. */
async function isReachable(connection: BrokerConnection): Promise<boolean> {
  if (connection.isOpen) return true;
  if (connection.isClosed || connection.lastError !== undefined) return false;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const unsubscribe = connection.subscribe(({ state }) => {
    resolve(state === 'open');
  });
  try {
    return await promise;
  } finally {
    unsubscribe();
  }
}
