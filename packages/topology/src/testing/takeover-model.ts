/** An old subscription and a new one that takes it over, made, gone through and cut off upon the model of a broker. */
import { expect } from '@jest/globals';
import { difference } from '../difference.ts';
import { inventoryOf } from '../inventory.ts';
import type { MigrationPhase, MigrationStep } from '../migration.ts';
import { namesOf } from '../names.ts';
import type { Binding, Membership, WantedTopology } from '../objects.ts';
import { policyPlan } from '../policy-plan.ts';
import { drainedTogether } from '../takeover-ends.ts';
import { takeoverOf } from '../takeover.ts';
import { temporaryConflicts, temporaryNamesOf } from '../temporary.ts';
import { plainSpec } from './plain-spec.ts';
import { applyAll, emptyBroker } from './model-broker.ts';
import { KEYS, ModelFlow } from './model-flow.ts';
import { wantedTopology } from '../wanted.ts';

export const modern = { delayedRetry: true, deliveryLimitByDefault: true };
export const ladder = { delayedRetry: false, deliveryLimitByDefault: true };
export const OLD = namesOf('shop', 'loyalty');
export const NEW = namesOf('crm', 'points');
export const temporary = temporaryNamesOf(OLD.queue);
const legacy: Binding = {
  source: 'legacy',
  destination: OLD.queue,
  destinationType: 'queue',
  routingKey: 'order.imported',
  arguments: {},
};

/** A number is one of partitions. */
type Order = 'None' | 'Strict' | number;
const orders: Order[] = ['None', 'Strict', 2, 3];
export const pairs = orders.flatMap((from) => orders.map((to) => [from, to] as const));

const want = (
  [namespace, name]: [string, string],
  order: Order = 'None',
  capabilities = modern,
  further: string[] = [],
): WantedTopology =>
  wantedTopology(
    {
      namespace,
      name,
      spec: {
        ...plainSpec,
        events: ['OrderPlaced', 'payment.*', ...further],
        delivery: {
          ...plainSpec.delivery,
          ...(typeof order === 'number' ? { ordering: 'PerKey', partitions: order } : { ordering: order }),
        },
      },
    },
    capabilities,
  );
export const wantOld = (order: Order = 'None', capabilities = modern) =>
  want(['shop', 'loyalty'], order, capabilities);
export const wantNew = (order: Order = 'None', capabilities = modern) =>
  want(['crm', 'points'], order, capabilities, ['UserCreated']);
/** It takes nothing that the old one does not take. */
export const wantAlike = (order: Order = 'None') => want(['crm', 'points'], order);
const entranceIn = ({ names: { queue, partitions, keys } }: WantedTopology) =>
  partitions.length === 0
    ? ({ destination: queue, destinationType: 'queue' } as const)
    : ({ destination: keys, destinationType: 'exchange' } as const);

/** The old subscription as it was made, with a binding that somebody else made besides. */
export function made(wanted = wantOld()): ModelFlow {
  const legacyExchange = { name: 'legacy', type: 'topic', durable: true, autoDelete: false, arguments: {} };
  const before = applyAll(emptyBroker, [{ step: 'declareExchange', exchange: legacyExchange }]);
  const { memberships, steps } = difference(wanted, inventoryOf(before));
  const binding = { ...legacy, ...entranceIn(wanted) };
  return new ModelFlow(
    applyAll(before, [...policyPlan(memberships, []), ...steps, { step: 'bind', binding }]),
  );
}

export const next = (
  flow: ModelFlow,
  wanted: WantedTopology,
  { settled = true, isDelayed = false, capabilities = modern } = {},
) =>
  takeoverOf(OLD, wanted, inventoryOf(flow.found()), {
    capabilities,
    delayedUntil: () => (isDelayed ? Date.UTC(2026, 10, 27) : undefined),
    settled: () => settled,
    drained: settled && drained(flow),
  });

function drained(flow: ModelFlow): boolean {
  return drainedTogether(OLD, inventoryOf(flow.found())).every(({ messages }) => messages === 0);
}

interface Cut {
  steps?: number;
  messages?: number;
  unacked?: boolean;
  between?: () => void;
}

export function make(
  flow: ModelFlow,
  { memberships = [], steps }: { memberships?: readonly Membership[]; steps: readonly MigrationStep[] },
  { steps: most = Infinity, messages = Infinity, unacked = false, between = () => undefined }: Cut = {},
): void {
  for (const step of policyPlan(memberships, flow.broker.policies)) flow.make(step);
  for (const step of steps.slice(0, most)) {
    const goesOn = flow.make(step, { limit: messages, unacked });
    // Whatever is there of it is known as Warren's own.
    expect(temporaryConflicts(OLD, inventoryOf(flow.found()))).toEqual([]);
    if (step.step !== 'move' || step.until !== 'caughtUp') between();
    if (!goesOn) break;
  }
}

export function finish(
  flow: ModelFlow,
  wanted: WantedTopology,
  more: Cut & { capabilities?: typeof modern } = {},
) {
  const phases: MigrationPhase[] = [];
  for (let passes = 0; passes < 50; passes += 1) {
    const takeover = next(flow, wanted, more);
    if (takeover === undefined) return phases;
    phases.push(takeover.phase);
    make(flow, takeover, more);
  }
  throw new Error(`no end: ${phases.join(', ')}`);
}

export const counter = (flow: ModelFlow) => {
  let id = 0;
  const publish = () => {
    id += 1;
    // Each event goes to exactly one queue, at every moment.
    expect(flow.publish('events', id % 3 === 0 ? 'payment.approved' : 'order.placed', id)).toHaveLength(1);
  };
  return { publish, published: () => Array.from({ length: id }, (_, index) => index + 1) };
};

/** Nothing of the old one is left, and the new one is as if nothing had been there before. */
export function expectTakenOver(flow: ModelFlow, wanted: WantedTopology): void {
  const found = inventoryOf(flow.found());
  const { blocked, memberships, steps } = difference(wanted, found);
  expect({ blocked, memberships, steps }).toEqual({ blocked: [], memberships: [], steps: [] });
  const names = wanted.queues.map(({ name }) => name).sort();
  expect(flow.broker.queues.map(({ name }) => name).sort()).toEqual(names);
  expect(flow.broker.exchanges.map(({ name }) => name).sort()).toEqual(
    ['legacy', ...wanted.exchanges.map(({ name }) => name)].sort(),
  );
  expect(flow.broker.bindings).toContainEqual({ ...legacy, ...entranceIn(wanted) });
  expect([...found.policyIndex.byQueue.keys()].filter((queue) => queue.startsWith('shop.'))).toEqual([]);
  expect(flow.lost).toEqual([]);
}

export const receivedBy = (flow: ModelFlow, { names: { queue, partitions } }: WantedTopology) =>
  (partitions.length === 0 ? [queue] : partitions).flatMap((name) => flow.in(name));

/** Each message of a key after those before it, copies aside; or all of them, whatever their key. */
export function expectInOrder(flow: ModelFlow, wanted: WantedTopology, isTotal = false): void {
  const { queue, partitions } = wanted.names;
  const seen = new Set<number>();
  const last = new Map<number, number>();
  for (const name of partitions.length === 0 ? [queue] : partitions)
    for (const id of flow.in(name)) {
      if (seen.has(id)) continue;
      seen.add(id);
      const key = isTotal && partitions.length === 0 ? 0 : id % KEYS;
      expect(id).toBeGreaterThan(last.get(key) ?? -1);
      last.set(key, id);
    }
}
