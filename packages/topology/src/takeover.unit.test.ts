import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { difference } from './difference.ts';
import { inventoryOf } from './inventory.ts';
import { migrationOf } from './migration.ts';
import { DEFAULT_EXCHANGES } from './names.ts';
import { keysExchange, keysOf, partitionOf } from './partitions.ts';
import { deadLettersTo, quorumQueue } from './queue-types.ts';
import { describeStep } from './steps.ts';
import { givingBack, isPastReturn, strayBindings } from './takeover-ends.ts';
import { emptyBroker } from './testing/model-broker.ts';
import { ModelFlow } from './testing/model-flow.ts';
import {
  NEW,
  OLD,
  counter,
  expectInOrder,
  expectTakenOver,
  finish,
  ladder,
  made,
  make,
  modern,
  next,
  pairs,
  receivedBy,
  temporary,
  wantAlike,
  wantNew,
  wantOld,
} from './testing/takeover-model.ts';

describe('a takeover', () => {
  test('takes these steps first, in this order', () => {
    const { steps = [] } = next(made(), wantNew()) ?? {};
    expect(steps.map((step) => (step.step === 'move' ? 'move' : describeStep(step)))).toEqual([
      'declare queue crm.points',
      'declare queue crm.points.dead',
      'bind crm.points.dead to failed_events by crm.points',
      `declare exchange ${temporary.aside}`,
      `declare queue ${temporary.arriving}`,
      `bind ${temporary.arriving} to ${temporary.aside} by `,
      `declare exchange ${temporary.points}`,
      `bind shop.loyalty to ${temporary.points} by `,
      `bind ${temporary.points} to events by order.placed`,
      `bind ${temporary.points} to events by payment.*`,
      `bind ${temporary.points} to legacy by order.imported`,
      'unbind shop.loyalty from events by order.placed',
      'unbind shop.loyalty from events by payment.*',
      'unbind shop.loyalty from legacy by order.imported',
      `unbind shop.loyalty from ${temporary.points} by `,
      `bind ${temporary.points} to events by user.created`,
    ]);
  });

  test.each(pairs)(
    'from ordering %s to %s takes what the old one did not take from the first pass on, in order',
    (from, to) => {
      const flow = made(wantOld(from));
      flow.publish('events', 'order.placed', 0);
      make(flow, next(flow, wantNew(to)) ?? { steps: [] });
      expect(flow.publish('events', 'user.created', 1)).toEqual([temporary.arriving]);
      let id = 1;
      const publish = () => {
        id += 1;
        expect(flow.publish('events', 'user.created', id)).toHaveLength(1);
      };
      finish(flow, wantNew(to), { between: publish });
      expectTakenOver(flow, wantNew(to));
      const published = Array.from({ length: id + 1 }, (_, index) => index);
      expect(receivedBy(flow, wantNew(to)).toSorted((a, b) => a - b)).toEqual(published);
      if (to !== 'None') expectInOrder(flow, wantNew(to), from === 'Strict' || from === 'None');
    },
  );

  test('leaves the old one what is new until the retries that the broker delays there for long are over', () => {
    const flow = made();
    const { publish, published } = counter(flow);
    for (let passes = 0; passes < 3; passes += 1) {
      const takeover = next(flow, wantAlike(), { isDelayed: true });
      expect(takeover).toMatchObject({ phase: 'Waiting', consumers: 'unchanged' });
      make(flow, takeover ?? { steps: [] }, { between: publish });
    }
    publish();
    expect(flow.in(OLD.queue)).toEqual(published());
    finish(flow, wantAlike());
    expectTakenOver(flow, wantAlike());
    expect(flow.in(NEW.queue)).toEqual(published());
  });

  test('that takes what the old one does not take is not kept from it by a retry of the old one', () => {
    expect(next(made(), wantNew(), { isDelayed: true })).toMatchObject({ phase: 'Preparing' });
  });

  test('of one that takes no events any more takes its own from the first pass on', () => {
    const flow = made();
    for (const binding of flow.broker.bindings.filter(({ destination }) => destination === OLD.queue))
      flow.make({ step: 'unbind', binding });
    make(flow, next(flow, wantNew()) ?? { steps: [] });
    for (const key of ['order.placed', 'user.created'])
      expect(flow.publish('events', key, 1)).toEqual([temporary.arriving]);
    finish(flow, wantNew());
    expect(flow.in(NEW.queue)).toEqual([1, 1]);
  });

  test('that is called off takes nothing any more that the old one does not take', () => {
    const flow = made();
    make(flow, next(flow, wantNew()) ?? { steps: [] });
    const before = wantOld();
    const options = { capabilities: modern, settled: () => true, drained: true };
    make(flow, migrationOf(before, inventoryOf(flow.found()), options) ?? { steps: [] });
    expect(flow.publish('events', 'user.created', 1)).toEqual([]);
    expect(flow.publish('events', 'order.placed', 2)).toHaveLength(1);
  });

  test.each(pairs)(
    'from ordering %s to %s goes through its phases, keeps every message in order, and leaves nothing of the old one',
    (from, to) => {
      const flow = made(wantOld(from));
      const { publish, published } = counter(flow);
      for (let times = 0; times < 20; times += 1) publish();
      flow.publish('failed_events', OLD.queue, -1);
      const phases = finish(flow, wantNew(to), { between: publish });
      expect([...new Set(phases)]).toEqual(['Preparing', 'Draining', 'Returning', 'Finishing']);
      expectTakenOver(flow, wantNew(to));
      expect(receivedBy(flow, wantNew(to)).toSorted((a, b) => a - b)).toEqual(published());
      if (to !== 'None') expectInOrder(flow, wantNew(to), from === 'Strict' || from === 'None');
      expect(flow.in(NEW.deadLetterQueue)).toEqual([-1]);
    },
  );

  test('has the consumers of the old one pause where both keep an order, and moves nothing past one that does not', () => {
    const flow = made(wantOld(2));
    const { publish, published } = counter(flow);
    for (let times = 0; times < 10; times += 1) publish();
    flow.attended = [`${OLD.queue}.partition.01`];
    for (let passes = 0; passes < 5; passes += 1) {
      const takeover = next(flow, wantNew(2));
      expect(takeover?.consumers).toBe('paused');
      make(flow, takeover ?? { steps: [] }, { between: publish });
    }
    const [theirs] = flow.attended;
    expect(flow.in(theirs ?? '')).not.toEqual([]);
    expect(receivedBy(flow, wantNew(2))).toEqual([]);
    flow.attended = [];
    finish(flow, wantNew(2), { between: publish });
    expectTakenOver(flow, wantNew(2));
    expect(receivedBy(flow, wantNew(2)).toSorted((a, b) => a - b)).toEqual(published());
    expectInOrder(flow, wantNew(2));
    expect(next(made(), wantNew(2))?.consumers).toBe('unchanged');
  });

  test('begins with nothing new while a mover that died may still have in hand what waited', () => {
    const flow = made(wantOld('Strict'));
    const { publish, published } = counter(flow);
    for (let times = 0; times < 10; times += 1) publish();
    for (let passes = 0; passes < 3; passes += 1) make(flow, next(flow, wantNew(2)) ?? { steps: [] });
    // All of it: to who looks, the queue has nothing ready.
    const inHand = flow.in(temporary.waited).splice(0);
    expect(inHand).toEqual(published());
    flow.attended = [temporary.waited];
    for (let passes = 0; passes < 3; passes += 1) {
      publish();
      make(flow, next(flow, wantNew(2)) ?? { steps: [] });
    }
    expect(receivedBy(flow, wantNew(2))).toEqual([]);
    flow.in(temporary.waited).push(...inHand);
    flow.attended = [];
    finish(flow, wantNew(2), { between: publish });
    expectTakenOver(flow, wantNew(2));
    expectInOrder(flow, wantNew(2));
  });

  test.each([
    [3, 'Strict'],
    ['Strict', 3],
    [2, 3],
    [3, 2],
  ] as const)(
    'whose new ordering is edited from %s to %s in the middle fills what is there first',
    (to, edited) => {
      for (let passes = 0; passes < 6; passes += 1) {
        const flow = made(wantOld(3));
        const { publish, published } = counter(flow);
        for (let times = 0; times < 10; times += 1) publish();
        for (let pass = 0; pass < passes; pass += 1)
          make(flow, next(flow, wantNew(to)) ?? { steps: [] }, { between: publish, messages: 4 });
        finish(flow, wantNew(edited), { between: publish });
        for (let pass = 0; pass < 40; pass += 1) {
          const found = inventoryOf(flow.found());
          const migration = migrationOf(wantNew(edited), found, {
            capabilities: modern,
            settled: () => true,
            drained: true,
          });
          make(flow, migration ?? difference(wantNew(edited), found), { between: publish });
        }
        expectTakenOver(flow, wantNew(edited));
        expect(receivedBy(flow, wantNew(edited)).toSorted((a, b) => a - b)).toEqual(published());
        expectInOrder(flow, wantNew(edited));
      }
    },
  );

  test('takes what waits for a retry to the wait queue of the same delay, or ahead of its time', () => {
    const flow = made(wantOld('None', ladder));
    flow.in('shop.loyalty.wait.1000').push(1);
    flow.make({
      step: 'declareQueue',
      queue: quorumQueue('shop.loyalty.wait.77', deadLettersTo('', OLD.queue)),
    });
    flow.in('shop.loyalty.wait.77').push(2);
    const wanted = wantNew('None', ladder);
    finish(flow, wanted, { capabilities: ladder });
    expectTakenOver(flow, wanted);
    expect(flow.in('crm.points.wait.1000')).toEqual([1]);
    expect(flow.in(NEW.queue)).toEqual([2]);
  });

  test('leaves a queue of somebody else that is called like a wait queue', () => {
    const flow = made();
    const theirs = 'shop.loyalty.wait.1000';
    flow.make({ step: 'declareQueue', queue: quorumQueue(theirs, {}) });
    flow.in(theirs).push(1);
    finish(flow, wantNew());
    expect(flow.in(theirs)).toEqual([1]);
    flow.broker = { ...flow.broker, queues: flow.broker.queues.filter(({ name }) => name !== theirs) };
    expectTakenOver(flow, wantNew());
  });

  test('does not delete the old queue before it was seen empty for so long that every count is a new one', () => {
    const flow = made();
    make(flow, next(flow, wantNew()) ?? { steps: [] });
    expect(next(flow, wantNew(), { settled: false })?.steps.map(({ step }) => step)).not.toContain(
      'deleteQueue',
    );
    expect(next(flow, wantNew())?.steps.at(-1)).toMatchObject({ step: 'deleteQueue', queue: OLD.queue });
  });

  test("leaves somebody else's of the name of a partition or the keys of the old one, with what it holds", () => {
    const flow = made();
    const partition = partitionOf(OLD.queue, 3);
    flow.make({ step: 'declareQueue', queue: quorumQueue(partition, {}) });
    flow.make({ step: 'declareExchange', exchange: { ...keysExchange(OLD.queue), arguments: {} } });
    flow.in(partition).push(-1);
    finish(flow, wantNew(2));
    expect(flow.in(partition)).toEqual([-1]);
    expect(flow.broker.exchanges.map(({ name }) => name)).toContain(keysOf(OLD.queue));
  });

  test('of a subscription that has nothing on the broker is over at once', () => {
    expect(next(new ModelFlow(emptyBroker), wantNew())).toBeUndefined();
  });
});

describe('whatever happens on the way', () => {
  const cut = fc.record({
    // Often a whole pass, so that every phase is come to.
    steps: fc.oneof(fc.integer({ min: 0, max: 18 }), fc.constant(100)),
    messages: fc.oneof(fc.integer({ min: 0, max: 4 }), fc.constant(100)),
    unacked: fc.boolean(),
    settled: fc.boolean(),
    isDelayed: fc.boolean(),
  });

  /** Begun with some messages, and cut off again and again. */
  function cutOff(
    flow: ReturnType<typeof made>,
    wanted: ReturnType<typeof wantNew>,
    cuts: readonly (typeof cut extends fc.Arbitrary<infer Cut> ? Cut : never)[],
  ) {
    const { publish, published } = counter(flow);
    for (let times = 0; times < 6; times += 1) publish();
    for (const { settled, isDelayed, ...more } of cuts) {
      const takeover = next(flow, wanted, { settled, isDelayed });
      if (takeover !== undefined) make(flow, takeover, { ...more, between: publish });
    }
    return { flow, publish, published };
  }

  test('cut off anywhere, published to all the time: it ends taken over, each message is there once and in order', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...pairs),
        fc.boolean(),
        fc.array(cut, { maxLength: 14 }),
        (pair, isAlike, cuts) => {
          const [from, to] = pair;
          const wanted = isAlike ? wantAlike(to) : wantNew(to);
          const { flow, publish, published } = cutOff(made(wantOld(from)), wanted, cuts);
          finish(flow, wanted, { between: publish });
          expectTakenOver(flow, wanted);
          const received = receivedBy(flow, wanted);
          expect([...new Set(received)].sort((a, b) => a - b)).toEqual(published());
          if (cuts.every(({ unacked }) => !unacked)) expect(received).toHaveLength(published().length);
          if (from !== 'None' && to !== 'None') expectInOrder(flow, wanted);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('called off anywhere: the old one has everything back in order, or it goes on to its end', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...pairs),
        fc.boolean(),
        fc.array(cut, { maxLength: 14 }),
        (pair, isAlike, cuts) => {
          const [from, to] = pair;
          const [before, wanted] = [wantOld(from), isAlike ? wantAlike(to) : wantNew(to)];
          const { flow, publish, published } = cutOff(made(before), wanted, cuts);
          const isOrdered = from !== 'None' && to !== 'None';
          if (isPastReturn(OLD, NEW, DEFAULT_EXCHANGES, inventoryOf(flow.found()))) {
            finish(flow, wanted, { between: publish });
            expectTakenOver(flow, wanted);
            return;
          }
          // What its consumers may have begun with is not taken back.
          if (to !== 'None') expect(receivedBy(flow, wanted)).toEqual([]);
          for (let passes = 0; passes < 60; passes += 1) {
            make(flow, { steps: strayBindings(OLD, inventoryOf(flow.found())) }, { between: publish });
            const migration = migrationOf(before, inventoryOf(flow.found()), {
              capabilities: modern,
              settled: () => true,
              drained: true,
            });
            make(flow, migration ?? difference(before, inventoryOf(flow.found())), { between: publish });
            const back = givingBack(OLD, NEW, inventoryOf(flow.found()));
            make(flow, { steps: back }, { between: publish });
            if (migration === undefined && back.length === 0) break;
          }
          const found = inventoryOf(flow.found());
          const { blocked, memberships, steps } = difference(before, found);
          expect({ blocked, memberships, steps }).toEqual({ blocked: [], memberships: [], steps: [] });
          expect(flow.lost).toEqual([]);
          expect(strayBindings(OLD, found)).toEqual([]);
          const received = receivedBy(flow, before);
          expect([...new Set(received)].sort((a, b) => a - b)).toEqual(published());
          if (cuts.every(({ unacked }) => !unacked)) expect(received).toHaveLength(published().length);
          if (isOrdered) expectInOrder(flow, before);
          expect(receivedBy(flow, wanted)).toEqual([]);
        },
      ),
      { numRuns: 300 },
    );
  });
});
