/**
 * Our consumer and publisher against amqplib used as well as its API allows, in one process, on one broker.
 *
 * consume: prefetch 100, the same asynchronous handler; ours with coalesced acknowledgements, raw with one each.
 * publish: persistent messages with confirms, so many outstanding; ours is mandatory besides, and knows each outcome.
 */
import { testBroker } from '@warren/environment/testing';
import { connectBroker, createConsumer, createPublisher } from '@warren/rabbitmq';
import type { BrokerConnection } from '@warren/rabbitmq';
import { connect } from 'amqplib';
import type { ChannelModel, ConfirmChannel } from 'amqplib';
import { alternate, median, numberOption } from './measure.ts';
import type { Bench, Options } from './measure.ts';

const QUEUE = 'bench';
const EXCHANGE = 'events';
const ROUTING_KEY = 'order.placed';

interface Bed extends AsyncDisposable {
  raw: ChannelModel;
  channel: ConfirmChannel;
  connection: BrokerConnection;
  messages: number;
  content: Buffer;
  limits: { rounds: number; withinMs: number };
  /** Puts the messages into the queue, and waits until it has them. */
  fill(): Promise<void>;
}

async function bed(options: Options): Promise<Bed> {
  const messages = numberOption(options, 'messages', 20_000);
  const content = Buffer.alloc(numberOption(options, 'bytes', 1_000), 'x');
  const stack = new AsyncDisposableStack();
  const broker = stack.use(await testBroker());
  const raw = await connect(broker.amqpUrl, { noDelay: true });
  stack.defer(() => raw.close());
  const connection = stack.use(connectBroker({ url: broker.amqpUrl, name: 'bench' }));
  const channel = await raw.createConfirmChannel();
  await channel.assertExchange(EXCHANGE, 'topic');
  await channel.assertQueue(QUEUE, { arguments: { 'x-queue-type': 'quorum' } });
  await channel.bindQueue(QUEUE, EXCHANGE, '#');
  await connection.opened();
  return {
    raw,
    channel,
    connection,
    messages,
    content,
    limits: {
      rounds: numberOption(options, 'rounds', 7),
      withinMs: numberOption(options, 'seconds', 70) * 1000,
    },
    fill: async () => {
      await channel.purgeQueue(QUEUE);
      for (let sent = 0; sent < messages; sent += 1) {
        channel.publish(EXCHANGE, ROUTING_KEY, content, { persistent: true });
        if (sent % 1_000 === 999) await channel.waitForConfirms();
      }
      await channel.waitForConfirms();
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** This process's share, in microseconds a message: what a busy machine disturbs least. */
class Cpu {
  readonly #ours: number[] = [];
  readonly #theirs: number[] = [];

  /** Messages a second of `work`, which does `count` of them. */
  async rate(whose: 'ours' | 'theirs', count: number, work: () => Promise<void>): Promise<number> {
    const begun = performance.now();
    const before = process.cpuUsage();
    await work();
    const { user, system } = process.cpuUsage(before);
    (whose === 'ours' ? this.#ours : this.#theirs).push((user + system) / count);
    return count / ((performance.now() - begun) / 1000);
  }

  get result() {
    const [ours, theirs] = [median(this.#ours), median(this.#theirs)];
    const round = (value: number) => Number(value.toFixed(2));
    return { cpuUs: { ours: round(ours), theirs: round(theirs), ratio: round(theirs / ours) } };
  }
}

async function* consume(options: Options): AsyncGenerator<Record<string, unknown>> {
  await using t = await bed(options);
  const cpu = new Cpu();
  const prefetch = numberOption(options, 'prefetch', 100);
  const { messages } = t;
  let bytes = 0;
  const handle = async (content: Buffer): Promise<void> => {
    bytes += content.length;
    await Promise.resolve();
  };
  const raw = async () => {
    await t.fill();
    return cpu.rate('theirs', messages, async () => {
      const channel = await t.raw.createChannel();
      await channel.prefetch(prefetch);
      const done = Promise.withResolvers<undefined>();
      let handled = 0;
      await channel.consume(QUEUE, (message) => {
        if (message === null) return;
        void handle(message.content).then(() => {
          channel.ack(message);
          if ((handled += 1) === messages) done.resolve(undefined);
        });
      });
      await done.promise;
      await channel.close();
    });
  };
  const ours = async () => {
    await t.fill();
    return cpu.rate('ours', messages, async () => {
      const done = Promise.withResolvers<undefined>();
      let handled = 0;
      const consumer = createConsumer(t.connection, {
        settings: {
          subscription: 'bench/bench',
          queue: QUEUE,
          prefetch,
          attempts: 3,
          deadLetter: { exchange: 'failed_events', routingKey: QUEUE },
          retry: { mode: 'broker' },
          strict: false,
        },
        handle: (delivery) => handle(delivery.content),
        observer: {
          onSettled: () => {
            if ((handled += 1) === messages) done.resolve(undefined);
          },
        },
      });
      consumer.start();
      await done.promise;
      await consumer.stop();
    });
  };
  const result = await alternate(ours, raw, t.limits);
  yield {
    unit: 'messages/s',
    messages,
    prefetch,
    bytes: t.content.length,
    ...result,
    ...cpu.result,
    handledBytes: bytes,
  };
}

async function* publish(options: Options): AsyncGenerator<Record<string, unknown>> {
  await using t = await bed(options);
  const cpu = new Cpu();
  const window = numberOption(options, 'window', 500);
  const { messages, content } = t;
  const raw = async () => {
    await t.channel.purgeQueue(QUEUE);
    return cpu.rate('theirs', messages, async () => {
      const done = Promise.withResolvers<undefined>();
      let sent = 0;
      let confirmed = 0;
      const next = () => {
        sent += 1;
        const options = { persistent: true, messageId: `m-${sent}` };
        t.channel.publish(EXCHANGE, ROUTING_KEY, content, options, (error: unknown) => {
          if (error !== null) done.reject(new Error('the broker refused a message'));
          if ((confirmed += 1) === messages) done.resolve(undefined);
          if (sent < messages) next();
        });
      };
      while (sent < Math.min(window, messages)) next();
      await done.promise;
    });
  };
  await using publisher = createPublisher(t.connection, { exchange: EXCHANGE, window });
  const ours = async () => {
    await t.channel.purgeQueue(QUEUE);
    return cpu.rate('ours', messages, async () => {
      let sent = 0;
      const worker = async () => {
        while (sent < messages) {
          sent += 1;
          const properties = { messageId: `m-${sent}` };
          await publisher.publish({ routingKey: ROUTING_KEY, content, properties });
        }
      };
      await Promise.all(Array.from({ length: window }, worker));
    });
  };
  const result = await alternate(ours, raw, t.limits);
  yield { unit: 'messages/s', messages, window, bytes: content.length, ...result, ...cpu.result };
}

const SHARED = {
  messages: 'of a round; 20000',
  bytes: 'of a message; 1000',
  rounds: 'at most; 7',
  seconds: 'for all of it; 70',
};

export const benches: Record<string, Bench> = {
  consume: {
    about: 'our consumer against amqplib',
    options: { prefetch: 'of a consumer; 100', ...SHARED },
    run: consume,
  },
  publish: {
    about: 'our publisher against amqplib',
    options: { window: 'messages that are not confirmed yet; 500', ...SHARED },
    run: publish,
  },
};
