/**
 * A consumer that takes its time, in pods that are scaled, and the one who makes it work. Runs as it is, by node, in an image
 * of the shop: amqplib comes from there.
 *
 *   slow-consumer.ts                 consumes: WORK_MS for each message, as many at once as its prefetch; `fail` is given back
 *   slow-consumer.ts COUNT [body]    puts so many into the queue, and ends when they are confirmed; URI: whose user may do so
 *
 * Told to end, it takes no more, and finishes what it has in hand.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as delay } from 'node:timers/promises';

interface Message {
  content: Buffer;
}
interface Channel {
  prefetch(count: number): Promise<unknown>;
  consume(queue: string, handle: (message: Message | null) => void): Promise<{ consumerTag: string }>;
  cancel(tag: string): Promise<unknown>;
  ack(message: Message): void;
  reject(message: Message, requeue: boolean): void;
  publish(exchange: string, key: string, content: Buffer, options: object): boolean;
  waitForConfirms(): Promise<void>;
  close(): Promise<void>;
}
interface Connection {
  createConfirmChannel(): Promise<Channel>;
  close(): Promise<void>;
}

const amqplib = createRequire('/app/package.json')('amqplib') as {
  connect(uri: string): Promise<Connection>;
};
const { BINDING = '/bindings/slow', WORK_MS = '50', URI } = process.env;
const read = (key: string) => readFileSync(`${BINDING}/${key}`, 'utf8');
// From the first line on: the first process of a container does not end by a signal that it has no listener for.
const toldToEnd = new Promise<void>((resolve) => process.once('SIGTERM', () => resolve()));

const connection = await connected();
const channel = await connection.createConfirmChannel();
const [count, body = 'work'] = process.argv.slice(2);
if (count === undefined) await consume();
else await publish(Number(count), body);

/** Waits for the broker: who ends instead is started anew later and later. */
async function connected(): Promise<Connection> {
  for (;;) {
    try {
      return await amqplib.connect(URI ?? read('uri'));
    } catch {
      await delay(1_000);
    }
  }
}

async function publish(messages: number, text: string): Promise<void> {
  for (let sent = 0; sent < messages; sent += 1) {
    // Not through the events' exchange: the shop's own services would take each for an event of theirs.
    channel.publish('', read('queue'), Buffer.from(text), { persistent: true });
    if (sent % 500 === 499) await channel.waitForConfirms();
  }
  await channel.waitForConfirms();
  await connection.close();
}

async function consume(): Promise<void> {
  let inHand = 0;
  let isEnding = false;
  const done = (message: Message) => {
    if (message.content.toString() === 'fail') channel.reject(message, true);
    else channel.ack(message);
    inHand -= 1;
    if (isEnding && inHand === 0) void end();
  };
  const end = async () => {
    await channel.close();
    await connection.close();
  };
  await channel.prefetch(Number(read('prefetch')));
  const { consumerTag } = await channel.consume(read('queue'), (message) => {
    if (message === null) process.exit(1);
    inHand += 1;
    setTimeout(() => done(message), Number(WORK_MS));
  });
  await toldToEnd;
  await channel.cancel(consumerTag);
  isEnding = true;
  if (inHand === 0) await end();
}
