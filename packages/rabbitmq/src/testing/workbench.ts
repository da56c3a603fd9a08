/** For tests: the broker objects of one subscription, made by hand (topology makes them in real life), and a look into queues. */
import { connect, type ChannelModel, type ConfirmChannel, type GetMessage } from 'amqplib';
import { consumerSettings, wantedTopology } from '@warren/topology';
import type { ConsumerSettings, Subscription } from '@warren/topology';

export interface WorkbenchOptions {
  name?: string;
  mode?: 'broker' | 'ladder' | 'in-place';
  attempts?: number;
  prefetch?: number;
  strict?: boolean;
  /** Growth and cap of the delay between attempts. */
  retryMs?: { min: number; max: number };
}

export class Workbench implements AsyncDisposable {
  readonly #model: ChannelModel;
  readonly channel: ConfirmChannel;

  private constructor(model: ChannelModel, channel: ConfirmChannel) {
    this.#model = model;
    this.channel = channel;
  }

  static async open(amqpUrl: string): Promise<Workbench> {
    const model = await connect(amqpUrl);
    model.on('error', () => undefined);
    const bench = new Workbench(model, await model.createConfirmChannel());
    await bench.channel.assertExchange('events', 'topic');
    await bench.channel.assertExchange('failed_events', 'topic');
    return bench;
  }

  async subscription(options: WorkbenchOptions = {}): Promise<ConsumerSettings> {
    const { name = 'shop.test', mode = 'broker', attempts = 3, prefetch = 10, strict = false } = options;
    const { min, max } = options.retryMs ?? { min: 100, max: 1_000 };
    const quorum = { 'x-queue-type': 'quorum' };
    await this.channel.assertQueue(name, {
      arguments: {
        ...quorum,
        'x-delivery-limit': attempts + 20,
        ...(strict ? { 'x-single-active-consumer': true } : {}),
        ...(mode === 'broker'
          ? { 'x-delayed-retry-type': 'all', 'x-delayed-retry-min': min, 'x-delayed-retry-max': max }
          : {}),
      },
    });
    await this.channel.bindQueue(name, 'events', '#');
    await this.channel.assertQueue(`${name}.dead`, { arguments: quorum });
    await this.channel.bindQueue(`${name}.dead`, 'failed_events', name);
    const settings = {
      subscription: name.replace('.', '/'),
      queue: name,
      prefetch,
      attempts,
      deadLetter: { exchange: 'failed_events', routingKey: name },
      strict,
    };
    if (mode === 'broker') return { ...settings, retry: { mode } };
    const delays = Array.from({ length: attempts - 1 }, (_, index) => Math.min(min * (index + 1), max));
    if (mode === 'in-place') return { ...settings, retry: { mode, delays } };
    const waits = [...new Set(delays)].map((delayMs) => ({ queue: `${name}.wait.${delayMs}`, delayMs }));
    for (const { queue, delayMs } of waits) {
      await this.channel.assertQueue(queue, {
        messageTtl: delayMs,
        deadLetterExchange: '',
        deadLetterRoutingKey: name,
        arguments: quorum,
      });
    }
    return { ...settings, retry: { mode, waits } };
  }

  /** The same of a stream, with what lies beside it; its name is `shop.stream` unless given. */
  async stream(options: WorkbenchOptions & { startFrom?: string } = {}): Promise<ConsumerSettings> {
    const {
      name = 'shop.stream',
      attempts = 3,
      prefetch = 10,
      strict = false,
      startFrom = 'first',
    } = options;
    const { min, max } = options.retryMs ?? { min: 100, max: 1_000 };
    const capabilities = { delayedRetry: true, deliveryLimitByDefault: true };
    const [namespace = '', subscription = ''] = name.split('.');
    const of: Subscription = {
      namespace,
      name: subscription,
      spec: {
        events: ['#'],
        brokerRef: { name: 'default' },
        delivery: {
          prefetch,
          ordering: strict ? 'Strict' : 'None',
          retry: { attempts, backoff: { initial: `${min}ms`, max: `${max}ms` } },
          deadLetter: { maxAge: '1d' },
        },
        queue: { type: 'stream', maxAge: '1d' },
        startFrom,
        deletionPolicy: 'Delete',
        driftPolicy: 'Repair',
      },
    };
    const { queues, bindings } = wantedTopology(of, capabilities);
    for (const queue of queues) {
      // Nobody makes policies here.
      const unlimited = queue.name.endsWith('.offset') ? { 'x-delivery-limit': -1 } : {};
      await this.channel.assertQueue(queue.name, { arguments: { ...queue.arguments, ...unlimited } });
    }
    for (const { destination, source, routingKey } of bindings)
      await this.channel.bindQueue(destination, source, routingKey);
    return consumerSettings(of, capabilities);
  }

  /** Publishes with the id as content and messageId, all confirmed. */
  async publish(
    ids: string[],
    headers: Record<string, unknown> = {},
    routingKey = 'order.placed',
  ): Promise<void> {
    for (const id of ids) {
      this.channel.publish('events', routingKey, Buffer.from(id), {
        persistent: true,
        messageId: id,
        headers,
      });
    }
    await this.channel.waitForConfirms();
  }

  /** Takes everything out of a queue. */
  async take(queue: string): Promise<GetMessage[]> {
    const messages: GetMessage[] = [];
    for (;;) {
      const message = await this.channel.get(queue, { noAck: true });
      if (message === false) return messages;
      messages.push(message);
    }
  }

  /** Ready messages, as the queue itself counts them. */
  async ready(queue: string): Promise<number> {
    return (await this.channel.checkQueue(queue)).messageCount;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.channel.close();
    await this.#model.close();
  }
}
