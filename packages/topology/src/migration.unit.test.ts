import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { difference, foreignQueues } from './difference.ts';
import { inventoryOf } from './inventory.ts';
import { migrationOf } from './migration.ts';
import type { Migration, MigrationPhase } from './migration.ts';
import type { Binding, WantedTopology } from './objects.ts';
import { effectivePolicy } from './policies.ts';
import { policyPlan } from './policy-plan.ts';
import { quorumQueue } from './queue-types.ts';
import { describeStep } from './steps.ts';
import type { ObjectStep } from './steps.ts';
import { strayBindings } from './takeover-ends.ts';
import { conflictsAt, temporaryConflicts, temporaryNamesOf, temporaryObjects } from './temporary.ts';
import { plainSpec } from './testing/plain-spec.ts';
import { applyAll, emptyBroker } from './testing/model-broker.ts';
import { ModelFlow } from './testing/model-flow.ts';
import { wantedTopology } from './wanted.ts';

const capabilities = { delayedRetry: true, deliveryLimitByDefault: true };
const QUEUE = 'shop.loyalty';
const { points, aside, arriving, waited } = temporaryNamesOf(QUEUE);
const legacy: Binding = {
  source: 'legacy',
  destination: QUEUE,
  destinationType: 'queue',
  routingKey: 'order.imported',
  arguments: {},
};

const want = (
  ordering: 'None' | 'Strict' | 'PerKey',
  events = ['OrderPlaced', 'payment.*'],
): WantedTopology =>
  wantedTopology(
    {
      namespace: 'shop',
      name: 'loyalty',
      spec: { ...plainSpec, events, delivery: { ...plainSpec.delivery, ordering } },
    },
    capabilities,
  );

/** A subscription as it was made, with a binding that somebody else made besides. */
function made(wanted: WantedTopology): ModelFlow {
  const legacyExchange = { name: 'legacy', type: 'topic', durable: true, autoDelete: false, arguments: {} };
  const before = applyAll(emptyBroker, [{ step: 'declareExchange', exchange: legacyExchange }]);
  const { memberships, steps } = difference(wanted, inventoryOf(before));
  return new ModelFlow(
    applyAll(before, [...policyPlan(memberships, []), ...steps, { step: 'bind', binding: legacy }]),
  );
}

const DUE = Date.UTC(2026, 10, 27, 21);
const next = (
  flow: ModelFlow,
  wanted: WantedTopology,
  settled = true,
  isDelayed = false,
): Migration | undefined =>
  migrationOf(wanted, inventoryOf(flow.found()), {
    ...{ capabilities, settled: () => settled, drained: settled },
    delayedUntil: () => (isDelayed ? DUE : undefined),
  });

const nothing = (): void => undefined;

/** One decision and all of its steps; false when there was nothing to migrate. */
function pass(
  flow: ModelFlow,
  wanted: WantedTopology,
  { settled = true, isDelayed = false, between = nothing } = {},
): MigrationPhase | undefined {
  const migration = next(flow, wanted, settled, isDelayed);
  if (migration === undefined) return undefined;
  for (const step of policyPlan(migration.memberships, flow.broker.policies)) flow.make(step);
  for (const step of migration.steps) {
    const goesOn = flow.make(step);
    expectKnown(flow);
    // Between a move that has caught up and the next step nothing comes: that is what caught up says.
    if (step.step !== 'move' || step.until !== 'caughtUp') between();
    if (!goesOn) break;
  }
  return migration.phase;
}

/** Whatever is there of a migration is known as Warren's own. */
function expectKnown(flow: ModelFlow): void {
  const found = inventoryOf(flow.found());
  expect(temporaryConflicts(want('None').names, found)).toEqual([]);
  expect(foreignQueues(want('None'), found)).toEqual([]);
}

function finish(flow: ModelFlow, wanted: WantedTopology, between?: () => void): MigrationPhase[] {
  const phases: MigrationPhase[] = [];
  for (let passes = 0; passes < 50; passes += 1) {
    const phase = pass(flow, wanted, between === undefined ? {} : { between });
    if (phase === undefined) return phases;
    phases.push(phase);
  }
  throw new Error(`no end: ${phases.join(', ')}`);
}

/** As if it had been made that way. */
function expectAsWanted(flow: ModelFlow, wanted: WantedTopology): void {
  const found = inventoryOf(flow.found());
  const { blocked, memberships, steps } = difference(wanted, found);
  expect({ blocked, memberships, steps }).toEqual({ blocked: [], memberships: [], steps: [] });
  expect(flow.broker.bindings).toContainEqual(legacy);
  expect(flow.broker.exchanges.map(({ name }) => name)).toEqual(['legacy', 'events', 'failed_events']);
  expect(flow.broker.queues.map(({ name }) => name).sort()).toEqual([QUEUE, `${QUEUE}.dead`]);
  expect(flow.broker.policies.some(({ pattern }) => pattern.includes('arriving'))).toBe(false);
  expect(flow.lost).toEqual([]);
}

const counter = (flow: ModelFlow) => {
  let id = 0;
  const publish = () => {
    id += 1;
    const queues = flow.publish('events', id % 3 === 0 ? 'payment.approved' : 'order.placed', id);
    expect(queues).toHaveLength(1);
  };
  return { publish, published: () => Array.from({ length: id }, (_, index) => index + 1) };
};

describe('a changed argument', () => {
  test('is told with what it was and what it is to be', () => {
    const { changes, phase, queue } = next(made(want('None')), want('Strict')) ?? {};
    expect({ queue, phase, changes }).toEqual({
      queue: QUEUE,
      phase: 'Preparing',
      changes: [{ property: 'x-single-active-consumer', from: 'none', to: 'true' }],
    });
  });

  test('takes these steps first, in this order', () => {
    const { steps = [] } = next(made(want('None')), want('Strict')) ?? {};
    expect(steps.map((step) => (step.step === 'move' ? 'move' : describeStep(step)))).toEqual([
      `declare exchange ${aside}`,
      `declare queue ${arriving}`,
      `bind ${arriving} to ${aside} by `,
      `declare exchange ${points}`,
      `bind ${QUEUE} to ${points} by `,
      `bind ${points} to events by order.placed`,
      `bind ${points} to events by payment.*`,
      `bind ${points} to legacy by order.imported`,
      `unbind ${QUEUE} from events by order.placed`,
      `unbind ${QUEUE} from events by payment.*`,
      `unbind ${QUEUE} from legacy by order.imported`,
      `unbind ${QUEUE} from ${points} by `,
      `declare queue ${waited}`,
      'move',
    ]);
  });

  test('goes through its phases, keeps every message in order, and leaves nothing behind', () => {
    const flow = made(want('None'));
    const { publish, published } = counter(flow);
    for (let times = 0; times < 20; times += 1) publish();
    const phases = finish(flow, want('Strict'), publish);
    expect(phases).toEqual(['Preparing', 'Draining', 'Returning', 'Finishing', 'Finishing']);
    expectAsWanted(flow, want('Strict'));
    expect(flow.in(QUEUE)).toEqual(published());
  });

  test('of a Strict queue keeps the order too, and takes over from its active consumer', () => {
    const flow = made(want('Strict'));
    const { publish, published } = counter(flow);
    for (let times = 0; times < 5; times += 1) publish();
    const { steps = [] } = next(flow, want('None')) ?? {};
    expect(steps.at(-1)).toEqual({
      step: 'move',
      from: QUEUE,
      to: waited,
      toKind: 'queue',
      until: 'empty',
      ahead: true,
      attended: 'move',
    });
    finish(flow, want('None'), publish);
    expectAsWanted(flow, want('None'));
    expect(flow.in(QUEUE).toSorted((a, b) => a - b)).toEqual(published());
  });

  test('does not delete the old queue before its counts are of after the last movement', () => {
    const flow = made(want('None'));
    flow.publish('events', 'order.placed', 1);
    pass(flow, want('Strict'), { settled: false });
    expect(pass(flow, want('Strict'), { settled: false })).toBe('Draining');
    expect(pass(flow, want('Strict'), { settled: false })).toBe('Draining');
    expect(next(flow, want('Strict'))?.steps.map(({ step }) => step)).toEqual([
      'move',
      'deleteQueue',
      'declareExchange',
      'declareQueue',
    ]);
  });

  test('of other events besides: they are taken from the beginning on, and those not wanted any more are not', () => {
    const flow = made(want('None'));
    pass(flow, want('Strict', ['OrderPlaced', 'UserCreated']));
    expect(flow.publish('events', 'user.created', 1)).toEqual([arriving]);
    expect(flow.publish('events', 'payment.approved', 2)).toEqual([]);
    pass(flow, want('Strict', ['OrderPlaced']));
    expect(flow.publish('events', 'user.created', 3)).toEqual([]);
    finish(flow, want('Strict', ['OrderPlaced']));
    expectAsWanted(flow, want('Strict', ['OrderPlaced']));
  });

  test.each([1, 2, 3, 4])('is rolled back by editing back after pass %i', (passes) => {
    const flow = made(want('None'));
    const { publish, published } = counter(flow);
    for (let times = 0; times < 5; times += 1) publish();
    for (let times = 0; times < passes; times += 1) pass(flow, want('Strict'), { between: publish });
    finish(flow, want('None'), publish);
    expectAsWanted(flow, want('None'));
    expect(flow.in(QUEUE).toSorted((a, b) => a - b)).toEqual(published());
  });
});

describe('retries that the broker delays for long', () => {
  const both = want('Strict', ['OrderPlaced', 'payment.*', 'UserCreated']);

  test('keep nothing else waiting: what is new, and newly subscribed to, goes on to the queue until they are over', () => {
    const flow = made(want('None'));
    flow.publish('events', 'order.placed', 1);
    const policy = () => effectivePolicy(flow.broker.policies, QUEUE);
    const before = policy();
    for (const id of [2, 4]) {
      expect(pass(flow, both, { isDelayed: true })).toBe('Waiting');
      expect(policy()).toEqual(before);
      expect(flow.publish('events', 'user.created', id)).toEqual([QUEUE]);
      expect(flow.publish('legacy', 'order.imported', id + 1)).toEqual([QUEUE]);
    }
    const waiting = next(flow, both, true, true);
    expect(waiting).toMatchObject({ steps: [], memberships: [] });
    expect(waiting?.waitsFor).toContain('until 2026-11-27T21:00:00.000Z the broker delays retries');
    finish(flow, both);
    expectAsWanted(flow, both);
    expect(flow.in(QUEUE)).toEqual([1, 2, 3, 4, 5]);
  });

  test.each(['Strict', 'PerKey'] as const)(
    'change nothing for the consumers under an edit to %s',
    (ordering) => {
      expect(next(made(want('None')), want(ordering), true, true)?.consumers).toBe('unchanged');
    },
  );

  test('are waited for as any message where everything new arrives aside already', () => {
    const flow = made(want('None'));
    pass(flow, want('Strict'));
    expect(next(flow, want('Strict'), true, true)).toMatchObject({ phase: 'Draining' });
  });
});

describe('other queues than the main one', () => {
  test('a dead-letter queue that somebody declared in another way is migrated under its binding', () => {
    const wanted = want('None');
    const flow = made(wanted);
    flow.broker = {
      ...flow.broker,
      queues: flow.broker.queues.map((queue) =>
        queue.name === `${QUEUE}.dead` ? { ...queue, type: 'classic', arguments: {} } : queue,
      ),
    };
    flow.publish('failed_events', QUEUE, 1);
    finish(flow, wanted);
    expectAsWanted(flow, wanted);
    expect(flow.in(`${QUEUE}.dead`)).toEqual([1]);
  });

  test('a wait queue gives its messages back, and is made anew', () => {
    const ladder = { delayedRetry: false, deliveryLimitByDefault: true };
    const wanted = wantedTopology({ namespace: 'shop', name: 'loyalty', spec: plainSpec }, ladder);
    const wait = `${QUEUE}.wait.1000`;
    const flow = made(wanted);
    flow.broker = {
      ...flow.broker,
      queues: flow.broker.queues.map((queue) => (queue.name === wait ? { ...queue, arguments: {} } : queue)),
    };
    flow.in(wait).push(1, 2);
    finish(flow, wanted);
    expect(flow.in(QUEUE)).toEqual([1, 2]);
    expect(difference(wanted, inventoryOf(flow.found()))).toMatchObject({ blocked: [], steps: [] });
  });

  test.each([{ type: 'stream' }, { autoDelete: true }])('%j cannot be emptied: not migrated', (change) => {
    const wanted = want('Strict');
    const flow = made(want('None'));
    flow.broker = {
      ...flow.broker,
      queues: flow.broker.queues.map((queue) => (queue.name === QUEUE ? { ...queue, ...change } : queue)),
    };
    expect(next(flow, wanted)).toBeUndefined();
    expect(difference(wanted, inventoryOf(flow.found())).blocked).not.toEqual([]);
  });

  test('what else is missing is made meanwhile', () => {
    const flow = made(want('None'));
    pass(flow, want('Strict'));
    flow.make({ step: 'deleteQueue', queue: `${QUEUE}.dead`, onlyIfEmpty: false });
    pass(flow, want('Strict'), { settled: false });
    expect(flow.broker.queues.map(({ name }) => name)).toContain(`${QUEUE}.dead`);
    expect(flow.publish('failed_events', QUEUE, 1)).toEqual([`${QUEUE}.dead`]);
  });

  test('nothing is there to migrate, and no temporary objects, where all is as wanted', () => {
    const flow = made(want('None'));
    expect(next(flow, want('None'))).toBeUndefined();
    expect(temporaryObjects(want('None').names, inventoryOf(flow.found()))).toEqual([]);
    pass(flow, want('Strict'));
    const left = temporaryObjects(want('None').names, inventoryOf(flow.found()));
    expect(left.map(describeStep)).toEqual([
      `delete exchange ${points}`,
      `delete exchange ${aside}`,
      `delete queue ${arriving}`,
      `delete queue ${waited}`,
    ]);
  });
});

describe('what somebody else has under a temporary name', () => {
  const exchange = (name: string, type: string): ObjectStep => ({
    step: 'declareExchange',
    exchange: { name, type, durable: true, autoDelete: false, arguments: {} },
  });
  const theirs = temporaryNamesOf(QUEUE);
  const strangers: [string, ObjectStep[]][] = [
    [`exchange ${points}`, [exchange(points, 'topic')]],
    [`exchange ${points}`, [exchange(points, 'fanout')]],
    [`exchange ${theirs.returning}`, [exchange(theirs.returning, 'direct')]],
    [
      `exchange ${aside}`,
      [
        exchange(aside, 'fanout'),
        { step: 'declareQueue', queue: quorumQueue('their.queue', {}) },
        { step: 'bind', binding: { ...legacy, source: aside, destination: 'their.queue' } },
      ],
    ],
    [`queue ${waited}`, [{ step: 'declareQueue', queue: quorumQueue(waited, {}) }]],
    [
      `queue ${arriving}`,
      [{ step: 'declareQueue', queue: quorumQueue(arriving, { 'x-single-active-consumer': true }) }],
    ],
  ];

  test.each(strangers)('%s is a conflict, opens no migration, and goes with no deletion', (what, steps) => {
    const flow = made(want('None'));
    for (const step of steps) flow.make(step);
    const found = inventoryOf(flow.found());
    const { names } = want('None');
    const sentence = `${what} is somebody else's, and Warren makes one of that name while it migrates queue ${QUEUE}: delete it or choose another name`;
    expect(difference(want('None'), found)).toMatchObject({
      conflicts: [sentence],
      steps: [],
      memberships: [],
    });
    expect(conflictsAt(QUEUE, found)).toEqual([sentence]);
    expect(next(flow, want('None'))).toBeUndefined();
    expect(temporaryObjects(names, found)).toEqual([]);
    expect(strayBindings(names, found)).toEqual([]);
  });

  test('is told of the dead-letter queue too', () => {
    const flow = made(want('None'));
    flow.make({ step: 'declareQueue', queue: quorumQueue(`${QUEUE}.dead.waited`, {}) });
    expect(difference(want('None'), inventoryOf(flow.found())).conflicts).toEqual([
      expect.stringContaining(`while it migrates queue ${QUEUE}.dead`),
    ]);
  });
});

describe('whatever happens on the way', () => {
  /** One decision, cut off after some steps: a move after some messages, perhaps with one published and not yet taken out. */
  const cut = fc.record({
    steps: fc.integer({ min: 0, max: 16 }),
    messages: fc.integer({ min: 0, max: 4 }),
    unacked: fc.boolean(),
    settled: fc.boolean(),
    isDelayed: fc.boolean(),
    published: fc.integer({ min: 0, max: 2 }),
    ordering: fc.constantFrom('None' as const, 'Strict' as const, 'Strict' as const),
    events: fc.constantFrom<(string[] | undefined)[]>(undefined, undefined, [
      'OrderPlaced',
      'payment.*',
      'UserCreated',
    ]),
  });

  test('cut off anywhere, edited to and fro, published to all the time: everything ends as wanted, and each message is there once', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('None' as const, 'Strict' as const),
        fc.array(cut, { maxLength: 12 }),
        (last, cuts) => {
          const flow = made(want('None'));
          const { publish, published } = counter(flow);
          for (let times = 0; times < 6; times += 1) publish();
          for (const { steps, messages, unacked, settled, isDelayed, ordering, events, ...more } of cuts) {
            const migration = next(flow, want(ordering, events), settled, isDelayed);
            for (const step of policyPlan(migration?.memberships ?? [], flow.broker.policies))
              flow.make(step);
            for (const step of migration?.steps.slice(0, steps) ?? []) {
              const goesOn = flow.make(step, { limit: messages, unacked });
              expectKnown(flow);
              for (let times = 0; times < more.published; times += 1) publish();
              if (!goesOn) break;
            }
          }
          finish(flow, want(last), publish);
          const { memberships, steps } = difference(want(last), inventoryOf(flow.found()));
          for (const step of [...policyPlan(memberships, flow.broker.policies), ...steps]) flow.make(step);
          expectAsWanted(flow, want(last));
          // A move that died between publishing and acknowledging leaves a second copy under the same id.
          expect([...new Set(flow.in(QUEUE))].sort((a, b) => a - b)).toEqual(published());
          if (cuts.every(({ unacked }) => !unacked)) expect(flow.in(QUEUE)).toHaveLength(published().length);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('temporary objects that somebody deletes are made again', () => {
    for (const gone of [points, aside]) {
      for (const passes of [1, 2, 3]) {
        const flow = made(want('None'));
        for (let times = 0; times < passes; times += 1) pass(flow, want('Strict'));
        flow.make({ step: 'deleteExchange', exchange: gone });
        finish(flow, want('Strict'));
        const { steps } = difference(want('Strict'), inventoryOf(flow.found()));
        expect(steps).toEqual([]);
        expect(flow.lost).toEqual([]);
      }
    }
  });
});
