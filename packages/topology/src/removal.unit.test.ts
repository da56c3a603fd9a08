import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { difference } from './difference.ts';
import { inventoryOf } from './inventory.ts';
import { policyPlan } from './policy-plan.ts';
import { describeHolding, removal } from './removal.ts';
import type { Removal } from './removal.ts';
import type { DeletionPolicy } from './spec.ts';
import { describeStep } from './steps.ts';
import { broker as anyBroker, plainSpec, subscription } from './testing/arbitraries.ts';
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

const made = (() => {
  const { memberships, steps } = difference(wantedTopology(loyalty, older), inventoryOf(emptyBroker));
  return applyAll(emptyBroker, [...policyPlan(memberships, []), ...steps]);
})();

const decide = (broker: ModelBroker, deletionPolicy: DeletionPolicy, settled = true, of = loyalty): Removal =>
  removal({ ...of, deletionPolicy, found: inventoryOf(broker), settled });
const carryOut = (broker: ModelBroker, { steps, memberships }: Removal): ModelBroker => {
  const then = applyAll(broker, steps);
  return applyAll(then, policyPlan(memberships, then.policies));
};
const holding = (broker: ModelBroker, queue: string, messages: number | undefined): ModelBroker => ({
  ...broker,
  queues: broker.queues.map((each) => (each.name === queue ? { ...each, messages } : each)),
});
const unbound = carryOut(made, decide(made, 'DeleteWhenEmpty'));

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

  test.each(['shop.loyalty', 'shop.loyalty.wait.1000', 'shop.loyalty.dead'])(
    'leaves all of them when %s holds a message, and says so',
    (queue) => {
      const decision = decide(holding(unbound, queue, 1), 'DeleteWhenEmpty');
      expect(decision).toEqual({ steps: [], memberships: [], holding: [{ queue, messages: 1 }], done: true });
      expect(decision.holding.map(describeHolding)).toEqual([`${queue} holds 1 message`]);
    },
  );
});

test('a deletion that died anywhere is completed by the next one', () => {
  fc.assert(
    fc.property(fc.constantFrom<DeletionPolicy>('Delete', 'DeleteWhenEmpty'), fc.nat(), (policy, crash) => {
      const all: ModelBroker[] = [made];
      for (let broker = made; ;) {
        const decision = decide(broker, policy);
        for (let done = 1; done <= decision.steps.length; done += 1)
          all.push(applyAll(broker, decision.steps.slice(0, done)));
        broker = carryOut(broker, decision);
        if (decision.done) break;
      }
      let broker = all[crash % all.length]!;
      for (;;) {
        const decision = decide(broker, policy);
        broker = carryOut(broker, decision);
        if (decision.done) break;
      }
      expect(broker).toEqual({ ...emptyBroker, exchanges: made.exchanges });
    }),
  );
});

test('whatever is found, a message is deleted only where the policy is Delete, and nothing of others at all', () => {
  const world = subscription.chain((one) => fc.tuple(fc.constant(one), anyBroker(one)));
  fc.assert(
    fc.property(
      world,
      fc.constantFrom<DeletionPolicy>('Retain', 'Delete', 'DeleteWhenEmpty'),
      fc.boolean(),
      ([one, found], policy, settled) => {
        const { steps } = decide(found, policy, settled, one);
        for (const step of steps) {
          expect(['unbind', 'deleteQueue']).toContain(step.step);
          if (step.step === 'unbind') expect(step.binding.source).toBe('events');
          if (step.step !== 'deleteQueue') continue;
          const { messages } = found.queues.find(({ name }) => name === step.queue)!;
          expect(step.queue.startsWith(`${one.namespace}.${one.name}`)).toBe(true);
          if (policy === 'DeleteWhenEmpty') expect(messages).toBe(0);
        }
      },
    ),
  );
});
