/** What queues hold and have done. */
import { z } from 'zod';
import type { Signal, VhostCalls } from './calls.ts';
import { activityAnswer, delayedOf, headAnswer, readAnswer } from './found.ts';
import type { QueueActivity, QueueFound, QueueStats } from './found.ts';
import { path } from './http.ts';
import { NAMES_AT_ONCE, pageAnswer, patternsOf } from './patterns.ts';

export interface Counting {
  /**
   * Counts of every queue, of the broker's last tick (RabbitMQ counts quorum queues every 5 s); consumers are of now. Given
   * the queues that inventory() has just read, they are not read once more.
   */
  queueStats(options?: Signal & { queues?: readonly QueueFound[] }): Promise<Map<string, QueueStats>>;
  /**
   * What these queues hold and have done, by the broker's statistics of its last tick (5 s). Those that are not there are
   * missing. Costs a call with statistics for 500 of them: for the few queues that need it.
   */
  queueActivity(names: readonly string[], options?: Signal): Promise<Map<string, QueueActivity>>;
}

/** How many queues are asked one by one for the age of their first message. */
const MOST_HEADS = 50;

const ACTIVITY =
  'name,messages,messages_ready,messages_unacknowledged,consumers,last_delayed_at,' +
  'message_stats.ack,message_stats.redeliver,message_stats.publish';

const consumersAnswer = z.array(z.object({ queue: z.object({ name: z.string() }) }));
const countingAnswer = z.object({ disable_stats: z.boolean() });

export function countingOf(calls: VhostCalls): Counting {
  return {
    async queueStats({
      queues: known,
      ...options
    }: Signal & { queues?: readonly QueueFound[] } = {}): Promise<Map<string, QueueStats>> {
      const [queues, consumers] = await Promise.all([
        known ?? calls.queues(options),
        calls.get(consumersAnswer, path('consumers', calls.vhost), options),
      ]);
      const oldest = await oldestOf(queues, calls, options);
      const consumersOf = new Map<string, number>();
      for (const { queue } of consumers) consumersOf.set(queue.name, (consumersOf.get(queue.name) ?? 0) + 1);
      return new Map(
        queues.map((queue) => {
          const { name, messages, ready, unacked, state } = queue;
          const delayed = delayedOf(queue);
          const counts = { messages, ready, unacked, delayed, consumers: consumersOf.get(name) ?? 0, state };
          return [name, { ...counts, oldest: oldest.get(name) }];
        }),
      );
    },

    async queueActivity(names: readonly string[], options: Signal = {}): Promise<Map<string, QueueActivity>> {
      const query = { columns: 'disable_stats' };
      const [{ disable_stats: isBlind }, ...pages] = await Promise.all([
        calls.get(countingAnswer, path('overview'), { query, ...options }),
        ...patternsOf(names).map((pattern) =>
          calls.get(pageAnswer, path('queues', calls.vhost), {
            query: { page: 1, page_size: NAMES_AT_ONCE, use_regex: 'true', name: pattern, columns: ACTIVITY },
            ...options,
          }),
        ),
      ]);
      const found = pages.flatMap(({ items }) => readAnswer(z.array(activityAnswer), items, 'GET queues'));
      return new Map(found.map(({ name, ...activity }) => [name, isBlind ? activity : fromZero(activity)]));
    },
  };
}

/** Only classic queues know, and only one by one: so of a few, and of none that is empty. */
async function oldestOf(
  queues: readonly QueueFound[],
  calls: VhostCalls,
  options: Signal,
): Promise<Map<string, number>> {
  const waiting = queues.filter(({ type, ready = 0 }) => type === 'classic' && ready > 0);
  const known = await Promise.all(
    waiting.slice(0, MOST_HEADS).map(async ({ name }): Promise<[string, number][]> => {
      const where = path('queues', calls.vhost, name);
      const query = { columns: 'head_message_timestamp' };
      const { status, body } = await calls.call('GET', where, { accept: [404], query, ...options });
      const head = status === 404 ? undefined : readAnswer(headAnswer, body, `GET ${where}`);
      return head === undefined ? [] : [[name, head]];
    }),
  );
  return new Map(known.flat());
}

/** Where the broker counts, a queue that is empty and not counted has done nothing yet. */
function fromZero(activity: QueueActivity): QueueActivity {
  const { ready, unacked, delayed, acked } = activity;
  if (acked !== undefined || ready !== 0 || unacked !== 0 || delayed !== 0) return activity;
  return { ...activity, acked: 0, redelivered: 0, published: 0 };
}
