/**
 * The status of a subscription from what a reconcile found out. Pure: equal findings give an equal status, so that nothing
 * is written while nothing changes.
 */
import { retryModeOf } from '@warren/topology';
import type { BrokerCapabilities } from '@warren/topology';
import { conditionOf, conditionsAfter } from '../conditions.ts';
import type { Said } from '../conditions.ts';
import { CLAIM_ANNOTATION } from '../resources.ts';
import type {
  MigrationStatus,
  PartitionCounts,
  SubscriptionResource,
  SubscriptionStatus,
} from '../resources.ts';
import { messagesOf } from './counts.ts';
import { scalingPart } from '../scaling/state.ts';
import type { ScalingState } from '../scaling/state.ts';

export interface Counts {
  ready?: number;
  unacked?: number;
  deadLetters: number;
  consumers: number;
  /** When the first message was published, where the broker tells: milliseconds since 1970. */
  oldest?: number;
  /** Of ordering PerKey, in their order. */
  partitions?: PartitionCounts[];
}

/** What a reconcile came to. Everything but `inSync` leaves the broker as it is. */
export type Verdict =
  /** Its names are free, and its objects are about to be made. */
  | { verdict: 'claimed' }
  /** Everything is as it should be, or has just been made so. `overridden`: but for what other people's policies say. */
  | { verdict: 'inSync'; overridden?: readonly string[] }
  /** It differs from what was made: it is being repaired, or driftPolicy Report says to leave it. */
  | { verdict: 'drifted'; differences: readonly string[]; policy: 'Repair' | 'Report' }
  /** An object would have to be made anew, which would lose what is in it. */
  | { verdict: 'blocked'; differences: readonly string[] }
  /** It is being made anew. Consumers go on meanwhile, but for the moments in which their queue is not there. */
  | { verdict: 'migrating'; migration: MigrationStatus; failure?: string }
  /** It takes over another subscription's queues, or gives back what it has got of them. */
  | { verdict: 'takingOver'; migration: MigrationStatus; failure?: string }
  /** Somebody else's object has a name that is wanted. */
  | { verdict: 'conflict'; message: string }
  /** The broker cannot be used now. */
  | { verdict: 'waiting'; reason: string; message: string }
  /** The broker, or the API server, refused a write. It is tried again. */
  | { verdict: 'failed'; reason: string; message: string }
  /** The resource is deleted, and something holds that up. */
  | { verdict: 'deleting'; reason: string; message: string }
  /** It may not use this broker, or names one that does not exist. */
  | { verdict: 'refused'; reason: string; message: string };

export interface Findings {
  verdict: Verdict;
  names: { queue: string; deadLetterQueue: string };
  /** `broker` or `ladder`, where the broker is known. */
  retryMode?: string;
  /** In words: what the queue takes. */
  takes?: string;
  /** Undefined where the broker did not tell: the last known numbers stay. */
  counts?: Counts;
  binding?: string;
  /** What is in force at the queue; undefined where nobody looked. */
  effective?: Record<string, string>;
  /** Undefined while scaling knows nothing new: what was said before stays. */
  scaling?: ScalingState | undefined;
  /** Conditions besides. */
  more?: readonly Said[];
}

export function statusOf(
  resource: SubscriptionResource,
  { verdict, names, retryMode, takes, counts, binding, effective, scaling, more = [] }: Findings,
  now: string,
): SubscriptionStatus {
  const before = resource.status;
  const { generation } = resource.metadata;
  const messages = messagesOf(counts, before?.messages, now);
  const consumers = counts?.consumers ?? before?.consumers;
  const { partitions } = counts ?? before ?? {};
  const scaled = scalingPart(resource, scaling);
  const said = [
    ...topologyConditions(verdict, names.queue, takes),
    deadLetterCondition(names.deadLetterQueue, messages?.deadLetters),
    ...scaled.said,
    ...more,
  ];
  const mode = retryMode ?? before?.retryMode;
  const bound = binding ?? before?.binding?.name;
  const inForce = effective ?? before?.effectiveArguments;
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    ...appliedStatus(verdict, resource),
    conditions: conditionsAfter(before?.conditions, said, generation, now),
    queue: names.queue,
    deadLetterQueue: names.deadLetterQueue,
    ...(mode === undefined ? {} : { retryMode: mode }),
    ...(messages === undefined ? {} : { messages }),
    ...(consumers === undefined ? {} : { consumers }),
    ...(partitions === undefined ? {} : { partitions }),
    ...(scaled.replicas === undefined ? {} : { replicas: scaled.replicas }),
    ...(bound === undefined ? {} : { binding: { name: bound } }),
    ...(inForce === undefined ? {} : { effectiveArguments: inForce }),
    ...migrationStatus(verdict, before?.migration),
    ...(isStillClaimed(resource) ? { claimedFrom: before?.claimedFrom ?? '' } : {}),
  };
}

/** What it has taken over it has, as long as it says that it claims it. */
function isStillClaimed({ metadata, status }: SubscriptionResource): boolean {
  return (
    status?.claimedFrom !== undefined &&
    metadata.annotations?.[CLAIM_ANNOTATION]?.trim() === status.claimedFrom
  );
}

/** What only holds a migration up leaves it as it was last seen. */
function migrationStatus(
  verdict: Verdict,
  before: MigrationStatus | undefined,
): Pick<SubscriptionStatus, 'migration'> {
  if (verdict.verdict === 'migrating' || verdict.verdict === 'takingOver')
    return { migration: verdict.migration };
  const isHeldUp = ['waiting', 'failed', 'refused', 'deleting'].includes(verdict.verdict);
  return isHeldUp && before !== undefined ? { migration: before } : {};
}

function topologyConditions(verdict: Verdict, queue: string, takes: string | undefined): Said[] {
  const both = (
    ready: Pick<Said, 'status' | 'reason' | 'message'>,
    inSync: Pick<Said, 'status' | 'reason' | 'message'>,
  ): Said[] => [
    { type: 'Ready', ...ready },
    { type: 'TopologyInSync', ...inSync },
  ];
  switch (verdict.verdict) {
    case 'claimed': {
      const making = { reason: 'Making', message: `queue ${queue} and what belongs to it are being made` };
      return both({ status: 'False', ...making }, { status: 'False', ...making });
    }
    case 'inSync': {
      const { overridden = [] } = verdict;
      return both(
        { status: 'True', reason: 'Ready', message: `queue ${queue} takes ${takes ?? 'its events'}` },
        overridden.length === 0
          ? { status: 'True', reason: 'InSync', message: 'the broker is as wanted' }
          : { status: 'False', reason: 'PolicyOverridden', message: listed(overridden) },
      );
    }
    case 'drifted': {
      const what = verdict.policy === 'Report' ? ', and driftPolicy is Report' : ' and being repaired';
      const message = `changed by hand${what}: ${listed(verdict.differences)}`;
      return both(
        { status: 'False', reason: 'Drifted', message },
        { status: 'False', reason: 'Drifted', message },
      );
    }
    case 'blocked': {
      const message = `cannot be changed in place: ${listed(verdict.differences)}; save the messages and delete the queue, then it is made anew`;
      return both(
        { status: 'False', reason: 'MigrationNeeded', message },
        { status: 'False', reason: 'MigrationNeeded', message },
      );
    }
    case 'migrating': {
      // How far it is, is in status.migration: here it would be written anew with every message.
      const { from, to } = verdict.migration;
      const what = `queue ${verdict.migration.queue} is made anew: ${from} becomes ${to}`;
      const message = verdict.failure === undefined ? what : `${what}; ${verdict.failure}`;
      return both(
        { status: 'True', reason: 'Migrating', message },
        { status: 'False', reason: 'Migrating', message },
      );
    }
    case 'takingOver': {
      const { from } = verdict.migration;
      const what = `takes over from ${from}: how far it is, status.migration tells`;
      const message = verdict.failure === undefined ? what : `${what}; ${verdict.failure}`;
      return both(
        { status: 'True', reason: 'TakingOver', message },
        { status: 'False', reason: 'TakingOver', message },
      );
    }
    case 'conflict':
      return both(
        { status: 'False', reason: 'Conflict', message: verdict.message },
        { status: 'False', reason: 'Conflict', message: verdict.message },
      );
    case 'waiting':
      return both(
        { status: 'False', reason: verdict.reason, message: verdict.message },
        { status: 'Unknown', reason: verdict.reason, message: verdict.message },
      );
    case 'failed':
    case 'deleting':
    case 'refused':
      return both(
        { status: 'False', reason: verdict.reason, message: verdict.message },
        { status: 'False', reason: verdict.reason, message: verdict.message },
      );
  }
}

/** True means that somebody should look: there are dead letters. */
function deadLetterCondition(queue: string, count: number | undefined): Said {
  if (count === undefined)
    return {
      type: 'DeadLetters',
      status: 'Unknown',
      reason: 'NotCounted',
      message: `${queue} has not been counted yet`,
    };
  // The number is in status.messages: here it would be written anew with every message.
  return count === 0
    ? { type: 'DeadLetters', status: 'False', reason: 'None', message: `${queue} is empty` }
    : {
        type: 'DeadLetters',
        status: 'True',
        reason: 'Waiting',
        message: `messages that could not be handled wait in ${queue}`,
      };
}

/** At most five, so that a status stays readable. */
export function listed(differences: readonly string[]): string {
  const shown = differences.slice(0, 5).join('; ');
  return differences.length > 5 ? `${shown}; and ${differences.length - 5} more` : shown;
}

/** What is said of a topology in which nothing was left to be made. */
const IN_SYNC: ReadonlySet<string> = new Set(['InSync', 'Drifted', 'PolicyOverridden']);

/** Whether the status says now that everything was made as this very spec wants it. */
export function isSaidInSync({ metadata, status }: SubscriptionResource): boolean {
  const condition = conditionOf(status?.conditions, 'TopologyInSync');
  return (
    condition !== undefined &&
    condition.observedGeneration === metadata.generation &&
    IN_SYNC.has(condition.reason)
  );
}

/** Whether everything was made as this very spec wants it: what differs now, somebody else changed. */
export function wasInSync(resource: SubscriptionResource): boolean {
  const { metadata, status } = resource;
  const applied = status?.appliedGeneration;
  return isSaidInSync(resource) || (applied !== undefined && applied === metadata.generation);
}

/** The same of a broker that can do what it could then: after its upgrade, its new version wants what differs. */
export function wasInSyncWith(resource: SubscriptionResource, capabilities: BrokerCapabilities): boolean {
  return wasInSync(resource) && resource.status?.retryMode === retryModeOf(resource.spec, capabilities);
}

/** Whose spec was the last one that everything was made for, and that nobody has begun to make anything anew for since. */
export function appliedGenerationOf({
  spec,
  status,
}: Pick<SubscriptionResource, 'spec' | 'status'>): number | undefined {
  const condition = conditionOf(status?.conditions, 'TopologyInSync');
  if (condition === undefined || !IN_SYNC.has(condition.reason)) return status?.appliedGeneration;
  const isBeingRepaired = condition.reason === 'Drifted' && spec.driftPolicy !== 'Report';
  return isBeingRepaired ? undefined : condition.observedGeneration;
}

/** These tell it by their condition, or have begun to make or remove something. */
const NOT_APPLIED: ReadonlySet<Verdict['verdict']> = new Set([
  ...(['inSync', 'drifted'] as const),
  ...(['migrating', 'takingOver', 'deleting'] as const),
]);

function appliedStatus(
  { verdict }: Verdict,
  resource: SubscriptionResource,
): Pick<SubscriptionStatus, 'appliedGeneration'> {
  const applied = NOT_APPLIED.has(verdict) ? undefined : appliedGenerationOf(resource);
  return applied === undefined ? {} : { appliedGeneration: applied };
}
