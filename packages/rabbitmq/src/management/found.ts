/** What is on the broker, as the management API tells it, in Warren's words; answers of another shape are refused. */
import { z } from 'zod';
import { ManagementError } from '../errors.ts';

const args = z.record(z.string(), z.unknown());

export const exchangeAnswer = z
  .object({
    name: z.string(),
    type: z.string(),
    durable: z.boolean(),
    auto_delete: z.boolean(),
    internal: z.boolean().default(false),
    arguments: args.default({}),
  })
  .transform(({ auto_delete: autoDelete, ...rest }) => ({ ...rest, autoDelete }));

const count = z.number().optional();

export const queueAnswer = z
  .object({
    name: z.string(),
    type: z.string().default('classic'),
    durable: z.boolean(),
    auto_delete: z.boolean().default(false),
    /** Null in the first moments of a queue. */
    exclusive: z.boolean().nullish(),
    arguments: args.default({}),
    policy: z.string().nullish(),
    effective_policy_definition: z.union([args, z.array(z.never())]).nullish(),
    state: z.string().optional(),
    messages: count,
    messages_ready: count,
    messages_unacknowledged: count,
  })
  .transform((queue) => ({
    name: queue.name,
    type: queue.type,
    durable: queue.durable,
    autoDelete: queue.auto_delete,
    exclusive: queue.exclusive === true,
    arguments: queue.arguments,
    policy: queue.policy ?? undefined,
    /** What its policies set. Of a classic queue no listing tells. */
    effective: Array.isArray(queue.effective_policy_definition)
      ? {}
      : (queue.effective_policy_definition ?? undefined),
    state: queue.state,
    messages: queue.messages,
    ready: queue.messages_ready,
    unacked: queue.messages_unacknowledged,
  }));

export const bindingAnswer = z
  .object({
    source: z.string(),
    destination: z.string(),
    destination_type: z.enum(['queue', 'exchange']),
    routing_key: z.string(),
    arguments: args.default({}),
    properties_key: z.string(),
  })
  .transform((binding) => ({
    source: binding.source,
    destination: binding.destination,
    destinationType: binding.destination_type,
    routingKey: binding.routing_key,
    arguments: binding.arguments,
    propertiesKey: binding.properties_key,
  }));

export const policyAnswer = z
  .object({
    name: z.string(),
    pattern: z.string(),
    'apply-to': z.string(),
    priority: z.number().default(0),
    definition: args,
  })
  .transform(({ 'apply-to': applyTo, ...rest }) => ({ ...rest, applyTo }));

export type ExchangeFound = z.output<typeof exchangeAnswer>;
export type QueueFound = z.output<typeof queueAnswer>;
export type BindingFound = z.output<typeof bindingAnswer>;
export type PolicyFound = z.output<typeof policyAnswer>;

/** Counts of one queue. What the broker does not tell is undefined, never zero. */
export interface QueueStats {
  messages: number | undefined;
  ready: number | undefined;
  unacked: number | undefined;
  /** Waiting for the broker's own delayed retry: neither ready nor unacknowledged. */
  delayed: number | undefined;
  consumers: number | undefined;
  state: string | undefined;
  /**
   * When the message at the head was published, by its own timestamp: milliseconds since 1970. Only classic queues tell.
   */
  oldest?: number | undefined;
}

/** What a queue holds and has done, by the broker's statistics. What it does not tell is undefined, never zero. */
export interface QueueActivity {
  ready: number | undefined;
  unacked: number | undefined;
  delayed: number | undefined;
  consumers: number | undefined;
  /** Since the broker counts: it begins anew when it, or the queue, starts anew. */
  acked: number | undefined;
  redelivered: number | undefined;
  published: number | undefined;
  /** When the last of those that are delayed is due: milliseconds since 1970. Not there: none is, or the broker does not tell. */
  delayedUntil?: number | undefined;
}

/** What is neither ready nor unacknowledged waits for its next attempt. */
export function delayedOf({
  messages,
  ready,
  unacked,
}: Pick<QueueFound, 'messages' | 'ready' | 'unacked'>): number | undefined {
  if (messages === undefined || ready === undefined || unacked === undefined) return undefined;
  return Math.max(0, messages - ready - unacked);
}

export const headAnswer = z
  .object({ head_message_timestamp: z.number().optional().catch(undefined) })
  .transform(({ head_message_timestamp: seconds }) => (seconds === undefined ? undefined : seconds * 1_000));

export const activityAnswer = z
  .object({
    name: z.string(),
    messages: count,
    messages_ready: count,
    messages_unacknowledged: count,
    consumers: count,
    last_delayed_at: count.catch(undefined),
    message_stats: z
      .object({
        ack: z.number().default(0),
        redeliver: z.number().default(0),
        publish: z.number().default(0),
      })
      .optional(),
  })
  .transform(({ name, messages, messages_ready: ready, messages_unacknowledged: unacked, ...rest }) => ({
    name,
    ready,
    unacked,
    delayed: delayedOf({ messages, ready, unacked }),
    consumers: rest.consumers,
    acked: rest.message_stats?.ack,
    redelivered: rest.message_stats?.redeliver,
    published: rest.message_stats?.publish,
    ...(rest.last_delayed_at === undefined ? {} : { delayedUntil: rest.last_delayed_at }),
  }));

/** Refuses an answer that has another shape than RabbitMQ's, naming the field. */
export function readAnswer<T>(schema: z.ZodType<T>, body: unknown, call: string): T {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new ManagementError(
    'WARREN_BROKER_BAD_ANSWER',
    call,
    `unexpected answer at "${issue?.path.join('.') ?? ''}": ${issue?.message ?? ''}`,
  );
}
