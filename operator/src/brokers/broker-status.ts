/** The status of an EventBroker from what its probe found out, and what is worth telling when it changes. Pure. */
import type { BrokerCapabilities } from '@warren/topology';
import { conditionOf, conditionsAfter } from '../conditions.ts';
import type { Said } from '../conditions.ts';
import { BrokerSecretError } from '../errors.ts';
import type { BoundResource, BrokerResource, BrokerStatus, Condition } from '../resources.ts';
import type { StoryEvent } from '../source.ts';
import type { Watching } from './drift-events.ts';

export interface BrokerFindings {
  /** Why it cannot be used. */
  down?: { reason: string; message: string };
  /** As it was last known. */
  connection?: { version: string; capabilities: BrokerCapabilities };
  /** Such as `memory on rabbit@one`. Undefined where nobody could tell. */
  alarms?: readonly string[];
  /** EventSubscriptions that use it. */
  subscriptions?: number;
  /** How changes by hand are noticed. */
  watching?: Watching;
  /** Conditions that others make. */
  further?: readonly Said[];
}

export function brokerStatusOf(
  resource: BrokerResource,
  { down, connection, alarms, subscriptions, watching, further = [] }: BrokerFindings,
  now: string,
): BrokerStatus {
  const before = resource.status;
  const { generation } = resource.metadata;
  const version = connection?.version ?? before?.version;
  const said = [
    ...reachability(down, connection),
    publishing(down === undefined ? alarms : undefined),
    ...(down === undefined ? driftEvents(watching, before?.conditions) : []),
    ...further,
  ];
  const count = subscriptions ?? before?.subscriptions;
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    ...(version === undefined ? {} : { version }),
    ...(down !== undefined || alarms === undefined || alarms.length === 0 ? {} : { alarms: [...alarms] }),
    ...(count === undefined ? {} : { subscriptions: count }),
    conditions: conditionsAfter(before?.conditions, said, generation, now),
  };
}

function reachability(down: BrokerFindings['down'], connection: BrokerFindings['connection']): Said[] {
  if (down !== undefined)
    return [
      // One that answers and is somebody else's is reachable.
      down.reason === 'VirtualHostTaken'
        ? { type: 'Reachable', status: 'True', reason: 'Answers', message: 'the management API answers' }
        : { type: 'Reachable', status: 'False', ...down },
      { type: 'Ready', status: 'False', ...down },
    ];
  const retries =
    connection?.capabilities.delayedRetry === true
      ? 'retries are delayed by the broker itself'
      : 'retries go through wait queues';
  return [
    { type: 'Reachable', status: 'True', reason: 'Answers', message: 'the management API answers' },
    {
      type: 'Ready',
      status: 'True',
      reason: 'Ready',
      message: `RabbitMQ ${connection?.version ?? ''}: ${retries}`,
    },
  ];
}

/** True means that somebody should look: nothing can be published. */
function publishing(alarms: readonly string[] | undefined): Said {
  const type = 'PublishersBlocked';
  if (alarms === undefined)
    return {
      type,
      status: 'Unknown',
      reason: 'NotAsked',
      message: 'the broker could not be asked for its alarms',
    };
  if (alarms.length === 0)
    return { type, status: 'False', reason: 'NoAlarm', message: 'the broker has no alarm' };
  return {
    type,
    status: 'True',
    reason: 'ResourceAlarm',
    message: `the broker blocks every publisher until its alarms are over: ${alarms.join(', ')}`,
  };
}

/** While nobody knows yet, it is as it was: a restart writes nothing. */
function driftEvents(watching: Watching | undefined, before: readonly Condition[] | undefined): Said[] {
  const type = 'DriftEvents';
  if (watching?.state === 'listening')
    return [
      {
        type,
        status: 'True',
        reason: 'Listening',
        message: 'changes by hand are noticed when the broker tells of them',
      },
    ];
  if (watching !== undefined && watching.reason !== 'Connecting')
    return [{ type, status: 'False', reason: watching.reason, message: watching.message }];
  const old = conditionOf(before, type);
  return old === undefined ? [] : [{ type, status: old.status, reason: old.reason, message: old.message }];
}

/** One event for a change, however often it is seen. */
export function brokerStoriesOf(before: BrokerStatus | undefined, after: BrokerStatus): StoryEvent[] {
  const changed = (type: string): Condition | undefined => {
    const [was, is] = [conditionOf(before?.conditions, type), conditionOf(after.conditions, type)];
    return is !== undefined && (was?.status !== is.status || was.reason !== is.reason) ? is : undefined;
  };
  const stories: StoryEvent[] = [];
  const ready = changed('Ready');
  if (ready !== undefined)
    stories.push({
      type: ready.status === 'True' ? 'Normal' : 'Warning',
      reason: ready.reason,
      action: 'Connect',
      message: ready.message,
    });
  const blocked = changed('PublishersBlocked');
  if (blocked?.status === 'True')
    stories.push({
      type: 'Warning',
      reason: 'PublishersBlocked',
      action: 'Ask',
      message: blocked.message,
    });
  if (blocked?.status === 'False' && conditionOf(before?.conditions, 'PublishersBlocked')?.status === 'True')
    stories.push({
      type: 'Normal',
      reason: 'PublishersUnblocked',
      action: 'Ask',
      message: 'the broker takes messages again',
    });
  const events = changed('DriftEvents');
  if (events?.reason === 'Forbidden')
    stories.push({
      type: 'Warning',
      reason: 'DriftEventsForbidden',
      action: 'Listen',
      message: events.message,
    });
  return stories;
}

const REASONS: Record<string, string> = {
  WARREN_BROKER_SECRET: 'SecretInvalid',
  WARREN_VIRTUAL_HOST_TAKEN: 'VirtualHostTaken',
  WARREN_BROKER_UNREACHABLE: 'Unreachable',
  WARREN_BROKER_UNTRUSTED: 'CertificateInvalid',
  WARREN_BROKER_UNAUTHORIZED: 'Unauthorized',
  WARREN_BROKER_FORBIDDEN: 'Forbidden',
  WARREN_BROKER_FAILED: 'Failing',
  WARREN_BROKER_BAD_ANSWER: 'BadAnswer',
};

export function whyDown(error: unknown): { reason: string; message: string } {
  const code = (error as { code?: unknown } | null)?.code;
  const reason = typeof code === 'string' ? REASONS[code] : undefined;
  if (typeof code === 'string' && code.startsWith('WARREN_K8S'))
    return { reason: 'SecretUnreadable', message: error instanceof Error ? error.message : code };
  if (error instanceof BrokerSecretError) return { reason: 'SecretInvalid', message: error.message };
  const message = error instanceof Error ? error.message : String(error);
  if (code === 'WARREN_BROKER_NOT_FOUND')
    return {
      reason: 'VirtualHostNotFound',
      message: `${message}: there is no such virtual host, or the user has no permissions in it`,
    };
  return { reason: reason ?? 'Unreachable', message };
}

/** To those who wait for their broker. @param why as its EventBroker says */
export function describeUnavailable({ spec }: BoundResource, why: string): string {
  return `EventBroker "${spec.brokerRef.name}" is not available: ${why}`;
}

/** As far as anybody knows: only its Secret is gone or not to be read, and who deletes everything at once may have begun with that. */
export function isReachable(down: { reason: string } | undefined): boolean {
  return down === undefined || down.reason === 'SecretInvalid' || down.reason === 'SecretUnreadable';
}

const CONCERN_BROKER = new Set([
  'WARREN_BROKER_UNREACHABLE',
  'WARREN_BROKER_UNTRUSTED',
  'WARREN_BROKER_UNAUTHORIZED',
  'WARREN_BROKER_FAILED',
  'WARREN_BROKER_BAD_ANSWER',
]);

/** Whether an error means that the broker, and not one request, is the trouble. */
export function concernsBroker(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && CONCERN_BROKER.has(code);
}
