/**
 * Policies of other people that keep a queue from being as its subscription wants it: in sentences that name them.
 *
 * - A user policy of at least our priority applies instead of ours, with all it says: at most one applies, nothing is merged.
 * - An operator policy, which only administrators set, is merged with ours: of two limits the lower one holds, of anything
 *   else what it says.
 * - A wait queue is in no policy of ours, nor is a queue of which nothing is tuned: any user policy that limits it may drop what
 *   waits there.
 */
import type { Inventory } from './inventory.ts';
import type { Policy, Queue, Settings, WantedTopology } from './objects.ts';
import { matcherOf } from './patterns.ts';
import { isFor, priorityAt, readPolicyName } from './policies.ts';
import type { QueueType } from './spec.ts';

type Found = Pick<Inventory, 'queues' | 'policyIndex' | 'operatorPolicies'>;

export function overriddenIn({ queues, memberships, names }: WantedTopology, found: Found): string[] {
  return queues.flatMap((queue) => {
    const settings = memberships.find((one) => one.queue === queue.name)?.settings;
    const isWait = names.waitQueues.includes(queue.name);
    return [
      ...(settings === undefined ? limitedByUser(queue, isWait, found) : overriddenByUser(queue, found)),
      ...overriddenByOperator(queue, settings ?? {}, found),
    ];
  });
}

function overriddenByUser(queue: Queue, found: Found): string[] {
  const policy = foreignAt(queue, found);
  const { name } = queue;
  const ours = priorityAt(found.policyIndex, name);
  if (policy === undefined || policy.priority < ours) return [];
  return [
    `policy "${policy.name}" (priority ${policy.priority}) applies to ${name} instead of Warren's: ` +
      `give it a priority below ${ours} or a pattern that leaves ${name} out`,
  ];
}

/** What drops messages before their time. */
const LIMITS = ['expires', 'max-length', 'max-length-bytes'];

/** @param isWait of what is too old there nothing is lost: it goes back */
function limitedByUser(queue: Queue, isWait: boolean, found: Found): string[] {
  const policy = foreignAt(queue, found);
  const limits = [...LIMITS, ...(isWait ? [] : ['message-ttl'])].filter(
    (key) => policy?.definition[key] !== undefined,
  );
  if (policy === undefined || limits.length === 0) return [];
  const where = isWait ? 'where messages wait for their retry' : 'where Warren sets none';
  return [
    `policy "${policy.name}" sets ${limits.join(', ')} for ${queue.name}, ${where}: ` +
      `give it a pattern that leaves ${queue.name} out`,
  ];
}

function overriddenByOperator(queue: Queue, settings: Settings, { operatorPolicies }: Found): string[] {
  const policy = highest(operatorPolicies.filter((one) => applies(one, queue)));
  if (policy === undefined) return [];
  return Object.entries(policy.definition).flatMap(([key, theirs]) => {
    const ours = settings[key] ?? queue.arguments[`x-${key}`];
    if (JSON.stringify(merged(ours, theirs)) === JSON.stringify(ours)) return [];
    const instead = ours === undefined ? 'where Warren sets none' : `instead of Warren's ${shown(ours)}`;
    return [`operator policy "${policy.name}" sets ${key} ${shown(theirs)} for ${queue.name} ${instead}`];
  });
}

/** As the broker merges them; a negative limit is none. */
function merged(ours: unknown, theirs: unknown): unknown {
  if (typeof ours !== 'number' || typeof theirs !== 'number') return theirs;
  const limit = (value: number) => (value < 0 ? Infinity : value);
  return limit(theirs) < limit(ours) ? theirs : ours;
}

/** Of other people's user policies the one that the broker applies, or would apply where it has not said which. */
function foreignAt(queue: Queue, { policyIndex, queues }: Found): Policy | undefined {
  const said = queues.get(queue.name)?.policy;
  return highest(
    policyIndex.others
      .filter(
        ({ policy, matches }) =>
          readPolicyName(policy.name) === undefined &&
          isFor(policy, typeOf(queue)) &&
          (said === undefined ? matches(queue.name) : policy.name === said),
      )
      .map(({ policy }) => policy),
  );
}

function applies(policy: Policy, queue: Queue): boolean {
  return isFor(policy, typeOf(queue)) && matcherOf(policy.pattern)(queue.name);
}

function highest(policies: readonly Policy[]): Policy | undefined {
  return [...policies].sort((a, b) => b.priority - a.priority)[0];
}

function typeOf(queue: Queue): QueueType {
  return (queue.arguments['x-queue-type'] as QueueType | undefined) ?? 'classic';
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
