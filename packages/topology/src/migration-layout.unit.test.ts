import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { difference, foreignQueues } from './difference.ts';
import { inventoryOf } from './inventory.ts';
import { deliveriesOf } from './layout.ts';
import { besideConflicts } from './marks.ts';
import { migrationOf } from './migration.ts';
import type { Migration } from './migration.ts';
import type { WantedTopology } from './objects.ts';
import { keysExchange, partitionOf } from './partitions.ts';
import { policyPlan } from './policy-plan.ts';
import { keepsOrder, quorumQueue } from './queue-types.ts';
import { describeStep } from './steps.ts';
import type { ObjectStep } from './steps.ts';
import { temporaryConflicts, temporaryObjects } from './temporary.ts';
import { plainSpec } from './testing/plain-spec.ts';
import { applyAll, emptyBroker } from './testing/model-broker.ts';
import { KEYS, ModelFlow } from './testing/model-flow.ts';
import { wantedTopology } from './wanted.ts';

const capabilities = { delayedRetry: true, deliveryLimitByDefault: true };
const QUEUE = 'shop.loyalty';

/** A number of partitions, or an ordering that has one queue. */
type Layout = number | 'None' | 'Strict';

const want = (layout: Layout, can = capabilities): WantedTopology =>
  wantedTopology(
    {
      namespace: 'shop',
      name: 'loyalty',
      spec: {
        ...plainSpec,
        delivery: {
          ...plainSpec.delivery,
          ...(typeof layout === 'number'
            ? { ordering: 'PerKey' as const, partitions: layout }
            : { ordering: layout }),
        },
      },
    },
    can,
  );

/** A broker, and a consumer that follows its binding sooner or later. */
class World {
  readonly flow: ModelFlow;
  readonly consumed: number[] = [];
  published = 0;
  #told: readonly string[];

  constructor(layout: Layout) {
    const { memberships, steps } = difference(want(layout), inventoryOf(emptyBroker));
    this.flow = new ModelFlow(applyAll(emptyBroker, [...policyPlan(memberships, []), ...steps]));
    this.#told = deliveriesOf(want(layout).names);
    this.follow();
  }

  publish(): void {
    this.published += 1;
    const queues = this.flow.publish('events', 'order.placed', this.published);
    expect(queues).toHaveLength(1);
  }

  follow(): void {
    this.flow.attended = this.#told;
  }

  /** The consumer handles one message of one of its queues. */
  consume(which: number): void {
    const full = this.flow.attended.filter((queue) => this.flow.in(queue).length > 0);
    const queue = full[which % full.length];
    const id = queue === undefined ? undefined : this.flow.in(queue).shift();
    if (id !== undefined) this.consumed.push(id);
  }

  due(layout: Layout, settled = true): Migration | undefined {
    const migration = migrationOf(want(layout), inventoryOf(this.flow.found()), {
      capabilities,
      settled: () => settled,
      drained: settled,
    });
    if (migration?.consumers === 'paused') this.#told = [];
    else if (migration?.consumers !== 'unchanged') this.#told = deliveriesOf(want(layout).names);
    return migration;
  }

  /** Some of the steps that are due; false where there are none. */
  pass(layout: Layout, cut: Partial<Cut> = {}): boolean {
    const { steps = Infinity, settled = true, follows = true, published = 0, consumed = 0 } = cut;
    const migration = this.due(layout, settled);
    if (follows) this.follow();
    const { memberships, steps: all } = migration ?? difference(want(layout), inventoryOf(this.flow.found()));
    for (const step of policyPlan(memberships, this.flow.broker.policies)) this.flow.make(step);
    for (const step of all.slice(0, steps)) {
      const goesOn = this.flow.make(step, { limit: cut.messages ?? Infinity, unacked: cut.unacked ?? false });
      const found = inventoryOf(this.flow.found());
      expect(temporaryConflicts(want(layout).names, found)).toEqual([]);
      expect(besideConflicts(want(layout), found)).toEqual([]);
      expect(foreignQueues(want(layout), found)).toEqual([]);
      // Between a move that has caught up and the next step nothing comes: that is what caught up says.
      if (step.step !== 'move' || step.until !== 'caughtUp')
        for (let times = 0; times < published; times += 1) this.publish();
      for (let times = 0; times < consumed; times += 1) this.consume(times);
      if (!goesOn) break;
    }
    return migration !== undefined || all.length > 0 || memberships.length > 0;
  }

  finish(layout: Layout): void {
    for (let passes = 0; passes < 60; passes += 1) {
      if (!this.pass(layout, { published: passes < 3 ? 1 : 0, consumed: 1 })) return;
    }
    throw new Error('no end');
  }

  /** As if it had been made that way, with everything in it. */
  expectAsWanted(layout: Layout): void {
    const wanted = want(layout);
    const found = inventoryOf(this.flow.found());
    const { blocked, memberships, steps } = difference(wanted, found);
    expect({ blocked, memberships, steps }).toEqual({ blocked: [], memberships: [], steps: [] });
    expect(temporaryObjects(wanted.names, found)).toEqual([]);
    const deliveries = deliveriesOf(wanted.names);
    expect(this.flow.broker.queues.map(({ name }) => name).sort()).toEqual(
      [...deliveries, `${QUEUE}.dead`].sort(),
    );
    const members = this.flow.broker.policies.flatMap(({ pattern }) => pattern.split('|'));
    expect(members).toHaveLength(deliveries.length + 1);
    expect(this.flow.lost).toEqual([]);
    expect(new Set(this.all(layout))).toEqual(
      new Set(Array.from({ length: this.published }, (_, index) => index + 1)),
    );
  }

  /** What was handled, then what waits, partition by partition. */
  all(layout: Layout): number[] {
    return [...this.consumed, ...deliveriesOf(want(layout).names).flatMap((queue) => this.flow.in(queue))];
  }

  /** Each key's messages in the order of their publishing, a second copy of one left out. */
  expectOrder(layout: Layout): void {
    const once = [...new Set(this.all(layout))];
    for (let key = 0; key < KEYS; key += 1) {
      const ids = once.filter((id) => id % KEYS === key);
      expect(ids).toEqual(ids.toSorted((a, b) => a - b));
    }
  }
}

interface Cut {
  steps: number;
  messages: number;
  unacked: boolean;
  settled: boolean;
  follows: boolean;
  published: number;
  consumed: number;
}

const cut: fc.Arbitrary<Cut> = fc.record({
  steps: fc.integer({ min: 0, max: 24 }),
  messages: fc.integer({ min: 0, max: 4 }),
  unacked: fc.boolean(),
  settled: fc.boolean(),
  follows: fc.boolean(),
  published: fc.integer({ min: 0, max: 2 }),
  consumed: fc.integer({ min: 0, max: 2 }),
});
const ordered: fc.Arbitrary<Layout> = fc.constantFrom<Layout[]>('Strict', 1, 3, 4);
const any: fc.Arbitrary<Layout> = fc.oneof(ordered, fc.constant<Layout>('None'));

describe('partitions', () => {
  test('are made in order, before what leads to them', () => {
    const { steps } = difference(want(2), inventoryOf(emptyBroker));
    expect(steps.map(describeStep)).toEqual([
      'declare exchange events',
      'declare exchange failed_events',
      `declare exchange ${QUEUE}.keys`,
      `declare queue ${QUEUE}.dead`,
      `bind ${QUEUE}.dead to failed_events by ${QUEUE}`,
      `declare queue ${QUEUE}.partition.00`,
      `declare queue ${QUEUE}.partition.01`,
      `bind ${QUEUE}.partition.00 to ${QUEUE}.keys by 1`,
      `bind ${QUEUE}.partition.01 to ${QUEUE}.keys by 1`,
      `bind ${QUEUE}.keys to events by order.placed`,
    ]);
  });

  test('that were made half are made whole, as long as nothing leads to them', () => {
    const { steps } = difference(want(3), inventoryOf(emptyBroker));
    for (let made = 0; made <= steps.length; made += 1) {
      const half = inventoryOf(applyAll(emptyBroker, steps.slice(0, made)));
      expect(difference(want(3), half).blocked).toEqual([]);
      expect(difference(want(3), half).steps).toHaveLength(steps.length - made);
    }
  });

  test('of which one is missing, or not led to, are made anew with all they hold, and it is told', () => {
    for (const harm of ['deleteQueue', 'unbind'] as const) {
      const world = new World(3);
      for (let times = 0; times < 10; times += 1) world.publish();
      const [binding] = world.flow.broker.bindings.filter(({ source }) => source === `${QUEUE}.keys`);
      if (binding === undefined) throw new Error('no ring');
      const gone = world.flow.in(binding.destination).length;
      if (harm === 'unbind') world.flow.make({ step: 'unbind', binding });
      else {
        world.flow.make({ step: 'deleteQueue', queue: binding.destination, onlyIfEmpty: false });
        world.flow.lost.length = 0;
      }
      const { blocked, steps } = difference(want(3), inventoryOf(world.flow.found()));
      expect({ blocked, steps }).toEqual({
        blocked: [`queue ${QUEUE} has ${harm === 'unbind' ? '2 of 3' : '2'} partitions and should have 3`],
        steps: [],
      });
      world.finish(3);
      expect(difference(want(3), inventoryOf(world.flow.found()))).toMatchObject({ blocked: [], steps: [] });
      expect(world.all(3)).toHaveLength(world.published - (harm === 'unbind' ? 0 : gone));
    }
  });

  test('whose exchange is missing get it back in place: keys lead where they led', () => {
    const world = new World(3);
    world.flow.make({ step: 'deleteExchange', exchange: `${QUEUE}.keys` });
    expect(world.due(3)).toBeUndefined();
    const { blocked, steps } = difference(want(3), inventoryOf(world.flow.found()));
    expect({ blocked, count: steps.length }).toEqual({ blocked: [], count: 5 });
  });

  test('of somebody else are not taken over, nor is a queue that partitions would replace', () => {
    const broker = applyAll(emptyBroker, [
      { step: 'declareQueue', queue: { name: QUEUE, durable: true, autoDelete: false, arguments: {} } },
    ]);
    expect(foreignQueues(want(2), inventoryOf(broker))).toEqual([QUEUE]);
  });
});

describe("what is called like a partition or the keys, and is somebody else's", () => {
  const partition = (index: number): ObjectStep => ({
    step: 'declareQueue',
    queue: quorumQueue(partitionOf(QUEUE, index), {}),
  });
  const keys: ObjectStep = {
    step: 'declareExchange',
    exchange: { ...keysExchange(QUEUE), arguments: { 'hash-header': 'theirs' } },
  };
  const beside = (layout: Layout, theirs: readonly ObjectStep[]): World => {
    const world = new World(layout);
    for (const step of theirs) world.flow.make(step);
    return world;
  };
  const nothing = { conflicts: [], blocked: [], memberships: [], steps: [] };

  test.each<[Layout, Layout, ObjectStep[]]>([
    ['None', 'Strict', [partition(7), keys]],
    ['Strict', 'None', [partition(7), keys]],
    ['None', 4, [partition(7)]],
    [3, 4, [partition(7)]],
    [4, 'None', [partition(7)]],
  ])('is no change of %s, and is left as it is by one to %s', (from, to, theirs) => {
    const world = beside(from, theirs);
    const isAs = (layout: Layout) =>
      expect(difference(want(layout), inventoryOf(world.flow.found()))).toMatchObject(nothing);
    isAs(from);
    expect(world.due(from)).toBeUndefined();
    world.flow.in(partitionOf(QUEUE, 7)).push(-1);
    world.finish(to);
    isAs(to);
    expect(world.flow.in(partitionOf(QUEUE, 7))).toEqual([-1]);
    for (const step of theirs) {
      if (step.step === 'declareExchange')
        expect(world.flow.broker.exchanges).toContainEqual({ ...step.exchange, internal: false });
    }
  });

  test.each([
    [`queue ${QUEUE}.partition.03`, partition(3)],
    [`exchange ${QUEUE}.keys`, keys],
  ])('is a conflict where an edit wants it: %s', (what, theirs) => {
    const found = inventoryOf(beside('None', [theirs]).flow.found());
    const { conflicts, steps } = difference(want(4), found);
    expect(conflicts).toEqual([
      `${what} is somebody else's, and Warren makes one of that name for the partitions of ${QUEUE}: ` +
        'delete it or choose another name',
    ]);
    expect(steps).toEqual([]);
  });

  test('belongs to the subscription as soon as its keys lead there, and is made anew with what it holds', () => {
    const world = new World(3);
    const [, name] = want(3).names.partitions as [string, string];
    world.flow.make({ step: 'deleteQueue', queue: name, onlyIfEmpty: true });
    world.flow.make(partition(1));
    for (const binding of want(3).bindings.filter(({ destination }) => destination === name))
      world.flow.make({ step: 'bind', binding });
    for (let times = 0; times < 10; times += 1) world.publish();
    world.finish(3);
    world.expectAsWanted(3);
    expect(world.all(3)).toHaveLength(world.published);
  });

  test('is not what a policy of the partition that was there before goes on to name', () => {
    const world = new World(4);
    world.flow.make({ step: 'deleteQueue', queue: partitionOf(QUEUE, 3), onlyIfEmpty: true });
    world.flow.make(partition(3));
    world.finish(3);
    expect(inventoryOf(world.flow.found()).policyIndex.byQueue.has(partitionOf(QUEUE, 3))).toBe(false);
  });
});

describe('a change of the layout', () => {
  test.each<[Layout, Layout, string, string]>([
    ['None', 4, 'none', '4'],
    ['Strict', 4, 'none', '4'],
    [3, 4, '3', '4'],
    [4, 3, '4', '3'],
    [4, 'Strict', '4', 'none'],
    [4, 'None', '4', 'none'],
  ])('from %s to %s keeps everything, and says what it is', (from, to, was, becomes) => {
    const world = new World(from);
    for (let times = 0; times < 20; times += 1) world.publish();
    const migration = world.due(to);
    expect(migration?.changes).toEqual([{ property: 'partitions', from: was, to: becomes }]);
    const isOrdered = from !== 'None' && to !== 'None';
    expect(migration?.consumers).toBe(isOrdered ? 'paused' : 'wanted');
    world.finish(to);
    world.expectAsWanted(to);
    expect(world.all(to)).toHaveLength(world.published);
    if (isOrdered) world.expectOrder(to);
  });

  test('waits for a consumer that does not follow, which empties its queue in order itself', () => {
    const world = new World('Strict');
    for (let times = 0; times < 6; times += 1) world.publish();
    for (let passes = 0; passes < 5; passes += 1) world.pass(4, { follows: false });
    expect(world.flow.in(QUEUE)).toHaveLength(6);
    for (let times = 0; times < 6; times += 1) world.consume(0);
    for (let passes = 0; passes < 5; passes += 1) world.pass(4, { follows: false });
    expect(world.flow.broker.queues.some(({ name }) => name === QUEUE)).toBe(false);
    world.finish(4);
    world.expectAsWanted(4);
    world.expectOrder(4);
  });

  test.each<Layout>(['Strict', 2])(
    'to %s takes along what waits to be tried again, and keeps the queue as long as more may be on its way to it',
    (to) => {
      const ladder = { delayedRetry: false, deliveryLimitByDefault: true };
      const wait = `${QUEUE}.wait.1000`;
      const flow = new World('None').flow;
      for (const step of difference(want('None', ladder), inventoryOf(flow.found())).steps) flow.make(step);
      const isOld = () =>
        flow.broker.queues.some(
          ({ name, arguments: args }) => name === QUEUE && !keepsOrder({ arguments: args }),
        );
      const passes = (count: number, drained: boolean) => {
        for (let pass = 0; pass < count; pass += 1) {
          const options = { capabilities: ladder, settled: () => true, drained };
          const migration = migrationOf(want(to, ladder), inventoryOf(flow.found()), options);
          for (const step of migration?.steps ?? []) if (!flow.make(step)) break;
        }
      };
      flow.in(wait).push(1);
      passes(5, false);
      expect(flow.in(wait)).toEqual([]);
      expect(isOld()).toBe(true);
      // In nobody's count until now, in the hands of a consumer that fails.
      flow.in(wait).push(2);
      passes(5, false);
      expect(isOld()).toBe(true);
      passes(8, true);
      expect(isOld()).toBe(false);
      expect(
        deliveriesOf(want(to, ladder).names)
          .flatMap((queue) => flow.in(queue))
          .sort(),
      ).toEqual([1, 2]);
      expect(flow.lost).toEqual([]);
    },
  );

  test.each([1, 2, 3, 4, 5])('is rolled back in order by editing back after pass %i', (passes) => {
    for (const messages of [2, Infinity]) {
      const world = new World(3);
      for (let times = 0; times < 20; times += 1) world.publish();
      for (let times = 0; times < passes; times += 1) world.pass(4, { messages, published: 1, consumed: 1 });
      world.finish(3);
      world.expectAsWanted(3);
      world.expectOrder(3);
    }
  });
});

describe('whatever happens on the way', () => {
  const run = (first: Layout, last: Layout, cuts: readonly [Layout, Cut][]): World => {
    const world = new World(first);
    for (let times = 0; times < 8; times += 1) world.publish();
    for (const [layout, each] of cuts) world.pass(layout, each);
    world.finish(last);
    return world;
  };

  test('cut off anywhere, edited to and fro, published to and consumed all the time: each message is there once', () => {
    fc.assert(
      fc.property(any, any, fc.array(fc.tuple(any, cut), { maxLength: 14 }), (first, last, cuts) => {
        const world = run(first, last, cuts);
        world.expectAsWanted(last);
        if (cuts.every(([, { unacked }]) => !unacked)) expect(world.all(last)).toHaveLength(world.published);
      }),
      { numRuns: 100 },
    );
  });

  test('and where an order is kept all the way, each key is handled in its order', () => {
    fc.assert(
      fc.property(
        ordered,
        ordered,
        fc.array(fc.tuple(ordered, cut), { maxLength: 14 }),
        (first, last, cuts) => {
          const world = run(first, last, cuts);
          world.expectAsWanted(last);
          world.expectOrder(last);
        },
      ),
      { numRuns: 100 },
    );
  });
});
