import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { difference } from './difference.ts';
import { inventoryOf } from './inventory.ts';
import type { Binding } from './objects.ts';
import { keysExchange, partitionOf } from './partitions.ts';
import { policyPlan } from './policy-plan.ts';
import { quorumQueue, streamQueuesOf } from './queue-types.ts';
import { describeHolding, removal } from './removal.ts';
import type { Removal } from './removal.ts';
import type { DeletionPolicy, Subscription } from './spec.ts';
import { describeStep } from './steps.ts';
import { broker as anyBroker, subscription } from './testing/arbitraries.ts';
import { plainSpec } from './testing/plain-spec.ts';
import { applyAll, emptyBroker } from './testing/model-broker.ts';
import type { ModelBroker } from './testing/model-broker.ts';
import { wantedTopology } from './wanted.ts';

const older = { delayedRetry: false, deliveryLimitByDefault: true };
const retry = { attempts: 2, backoff: { initial: '1s', max: '1m' } };
const loyalty = {
  namespace: 'shop',
  name: 'loyalty',
  spec: { ...plainSpec, delivery: { ...plainSpec.delivery, retry } },
};

const stream = { ...loyalty, spec: { ...loyalty.spec, queue: { type: 'stream' as const } } };

const delivery = { ...loyalty.spec.delivery, ordering: 'PerKey' as const, partitions: 2 };
const keyed = { ...loyalty, spec: { ...loyalty.spec, delivery } };

const [made, madeStream, madeKeyed] = ([loyalty, stream, keyed] as const).map((one) => {
  const { memberships, steps } = difference(wantedTopology(one, older), inventoryOf(emptyBroker));
  return applyAll(emptyBroker, [...policyPlan(memberships, []), ...steps]);
}) as [ModelBroker, ModelBroker, ModelBroker];

const decide = (
  broker: ModelBroker,
  deletionPolicy: DeletionPolicy,
  settled = true,
  of: Subscription = loyalty,
): Removal => removal({ ...of, deletionPolicy, found: inventoryOf(broker), settled });
const carryOut = (broker: ModelBroker, { steps, memberships }: Removal): ModelBroker => {
  const then = applyAll(broker, steps);
  return applyAll(then, policyPlan(memberships, then.policies));
};
const holding = (broker: ModelBroker, queue: string, messages: number | undefined): ModelBroker => ({
  ...broker,
  queues: broker.queues.map((each) => (each.name === queue ? { ...each, messages } : each)),
});
const unbound = carryOut(made, decide(made, 'DeleteWhenEmpty'));
const unboundKeyed = carryOut(madeKeyed, decide(madeKeyed, 'DeleteWhenEmpty', true, keyed));

test('Retain leaves everything as it is', () => {
  expect(decide(made, 'Retain')).toEqual({ steps: [], memberships: [], holding: [], done: true });
});

describe('Delete', () => {
  test('unbinds first, then deletes the queue before where its dead letters go', () => {
    expect(decide(holding(made, 'shop.loyalty', 7), 'Delete').steps.map(describeStep)).toEqual([
      'unbind shop.loyalty from events by order.placed',
      'delete queue shop.loyalty',
      'delete queue shop.loyalty.wait.1000',
      'delete queue shop.loyalty.dead',
    ]);
  });

  test('leaves nothing but the shared exchanges', () => {
    expect(carryOut(made, decide(made, 'Delete'))).toEqual({ ...emptyBroker, exchanges: made.exchanges });
  });
});

describe('DeleteWhenEmpty', () => {
  test('unbinds, and is not done: a message may have come in a moment before', () => {
    const first = decide(made, 'DeleteWhenEmpty');
    expect(first.steps.map(describeStep)).toEqual(['unbind shop.loyalty from events by order.placed']);
    expect(first.done).toBe(false);
  });

  test('waits for counts that are of after the unbinding', () => {
    expect(decide(unbound, 'DeleteWhenEmpty', false)).toEqual({
      steps: [],
      memberships: [],
      holding: [],
      done: false,
    });
  });

  test('waits for counts where the broker does not tell: unknown is not empty', () => {
    expect(decide(holding(unbound, 'shop.loyalty.dead', undefined), 'DeleteWhenEmpty').done).toBe(false);
    expect(decide(holding(unbound, 'shop.loyalty.dead', undefined), 'DeleteWhenEmpty').steps).toEqual([]);
  });

  test('deletes what is empty, after another look at each', () => {
    const second = decide(unbound, 'DeleteWhenEmpty');
    expect(second.done).toBe(true);
    expect(second.steps.map(describeStep)).toEqual([
      'delete queue shop.loyalty if it is empty',
      'delete queue shop.loyalty.wait.1000 if it is empty',
      'delete queue shop.loyalty.dead if it is empty',
    ]);
    expect(carryOut(unbound, second)).toEqual({ ...emptyBroker, exchanges: made.exchanges });
  });

  test.each([
    ['the queue', loyalty, unbound, 'shop.loyalty', 'queue'],
    ['the dead letters', loyalty, unbound, 'shop.loyalty.dead', 'queue'],
    ['a partition', keyed, unboundKeyed, 'shop.loyalty.partition.01', 'queue'],
    ['the keys', keyed, unboundKeyed, 'shop.loyalty.keys', 'exchange'],
  ] as const)(
    'ends what other people have bound to %s when everything is empty, not before, and counts anew',
    (_to, one, broker, destination, destinationType) => {
      const legacy = { source: 'legacy', destination, destinationType, routingKey: 'old', arguments: {} };
      const bound = { ...broker, bindings: [...broker.bindings, legacy] };
      expect(decide(holding(bound, 'shop.loyalty.dead', 1), 'DeleteWhenEmpty', true, one).steps).toEqual([]);
      expect(decide(bound, 'DeleteWhenEmpty', false, one).steps).toEqual([]);
      const decision = decide(bound, 'DeleteWhenEmpty', true, one);
      expect(decision).toMatchObject({ steps: [{ step: 'unbind', binding: legacy }], done: false });
      expect(decide(carryOut(bound, decision), 'DeleteWhenEmpty', true, one)).toEqual(
        decide(broker, 'DeleteWhenEmpty', true, one),
      );
    },
  );

  test.each(['shop.loyalty', 'shop.loyalty.wait.1000', 'shop.loyalty.dead'])(
    'leaves all of them when %s holds a message, and says so',
    (queue) => {
      const decision = decide(holding(unbound, queue, 1), 'DeleteWhenEmpty');
      expect(decision).toEqual({ steps: [], memberships: [], holding: [{ queue, messages: 1 }], done: true });
      expect(decision.holding.map(describeHolding)).toEqual([`${queue} holds 1 message`]);
    },
  );
});

test('a stream goes with what was made beside it', () => {
  const left = carryOut(madeStream, decide(madeStream, 'Delete', true, stream));
  expect(left).toEqual({ ...emptyBroker, exchanges: madeStream.exchanges });
});

describe('what somebody else has under its names', () => {
  const { offsets, retries } = streamQueuesOf('shop.loyalty');
  const partitions = [3, 77].map((index) => partitionOf('shop.loyalty', index));
  const theirs = [retries, offsets, ...partitions, 'shop.loyalty.wait.5000', 'shop.loyalty.points'].flatMap(
    (name) => [{ ...quorumQueue(name, {}), type: 'quorum', messages: 3 }],
  );
  const keys = { ...keysExchange('shop.loyalty'), arguments: { 'hash-on': 'theirs' }, internal: false };

  test.each<DeletionPolicy>(['Delete', 'DeleteWhenEmpty'])(
    'is left by %s, and holds up nothing',
    (policy) => {
      const exchanges = [...made.exchanges, keys];
      const toKeys: Binding = {
        source: 'events',
        destination: keys.name,
        destinationType: 'exchange',
        routingKey: '#',
        arguments: {},
      };
      let broker: ModelBroker = {
        ...made,
        exchanges,
        queues: [...made.queues, ...theirs],
        bindings: [...made.bindings, toKeys],
      };
      for (let done = false; !done;) {
        const decision = decide(broker, policy);
        expect(decision.holding).toEqual([]);
        broker = carryOut(broker, decision);
        done = decision.done;
      }
      expect(broker).toEqual({ ...emptyBroker, exchanges, queues: theirs, bindings: [toKeys] });
    },
  );
});

test('a deletion that died anywhere is completed by the next one', () => {
  const worlds = fc.constantFrom<[Subscription, ModelBroker]>(
    [loyalty, made],
    [stream, madeStream],
    [keyed, madeKeyed],
  );
  const policies = fc.constantFrom<DeletionPolicy>('Delete', 'DeleteWhenEmpty');
  fc.assert(
    fc.property(worlds, policies, fc.nat(), ([one, whole], policy, crash) => {
      const all: ModelBroker[] = [whole];
      for (let broker = whole; ;) {
        const decision = decide(broker, policy, true, one);
        for (let done = 1; done <= decision.steps.length; done += 1)
          all.push(applyAll(broker, decision.steps.slice(0, done)));
        broker = carryOut(broker, decision);
        if (decision.done) break;
      }
      let broker = all[crash % all.length]!;
      for (;;) {
        const decision = decide(broker, policy, true, one);
        broker = carryOut(broker, decision);
        if (decision.done) break;
      }
      expect(broker).toEqual({ ...emptyBroker, exchanges: made.exchanges });
    }),
  );
});

test('whatever is found, a message is deleted only where the policy is Delete, and nothing of others at all', () => {
  const world = subscription.chain((one) => fc.tuple(fc.constant(one), anyBroker(one)));
  const strangers = fc.subarray([
    'retry',
    'offset',
    'partition.03',
    'partition.77',
    'wait.1000',
    'wait.77',
    'arriving',
    'waited',
  ]);
  fc.assert(
    fc.property(
      world,
      strangers,
      fc.constantFrom<DeletionPolicy>('Retain', 'Delete', 'DeleteWhenEmpty'),
      fc.boolean(),
      ([one, broker], suffixes, policy, settled) => {
        const theirs = suffixes.map((suffix) => `${one.namespace}.${one.name}.${suffix}`);
        const keys = { ...keysExchange(`${one.namespace}.${one.name}`), arguments: {}, internal: false };
        const found: ModelBroker = {
          ...broker,
          exchanges: [...broker.exchanges, keys],
          queues: [
            ...broker.queues.filter(({ name }) => !theirs.includes(name)),
            ...theirs.map((name) => ({ ...quorumQueue(name, {}), type: 'quorum', messages: 0 })),
          ],
        };
        const { steps } = decide(found, policy, settled, one);
        for (const step of steps) {
          expect(['unbind', 'deleteQueue']).toContain(step.step);
          if (step.step === 'unbind' && step.binding.source !== 'events')
            expect(steps.every((each) => each.step === 'unbind') && settled).toBe(true);
          if (step.step !== 'deleteQueue') continue;
          expect(theirs).not.toContain(step.queue);
          const { messages } = found.queues.find(({ name }) => name === step.queue)!;
          expect(step.queue.startsWith(`${one.namespace}.${one.name}`)).toBe(true);
          if (policy === 'DeleteWhenEmpty') expect(messages).toBe(0);
        }
      },
    ),
  );
});
