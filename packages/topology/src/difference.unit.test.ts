import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { canonical } from './canonical.ts';
import { difference, foreignQueues } from './difference.ts';
import type { Difference } from './difference.ts';
import { inventoryOf } from './inventory.ts';
import type { Binding, FoundQueue, WantedTopology } from './objects.ts';
import { policyPlan } from './policy-plan.ts';
import { readPolicyName } from './policies.ts';
import { deadLettersTo, quorumQueue, streamQueuesOf } from './queue-types.ts';
import { describeDifference, describeStep, labelsOf } from './steps.ts';
import type { Step } from './steps.ts';
import { broker as anyBroker, capabilities, subscription } from './testing/arbitraries.ts';
import { plainSpec } from './testing/plain-spec.ts';
import { apply, applyAll, emptyBroker } from './testing/model-broker.ts';
import type { ModelBroker } from './testing/model-broker.ts';
import { wantedTopology } from './wanted.ts';

const modern = { delayedRetry: true, deliveryLimitByDefault: true };
const wanted = wantedTopology({ namespace: 'shop', name: 'loyalty', spec: plainSpec }, modern);

const compare = (broker: ModelBroker, want: WantedTopology = wanted): Difference =>
  difference(want, inventoryOf(broker));
const stepsOf = (broker: ModelBroker, want: WantedTopology = wanted): Step[] => {
  const { memberships, steps } = compare(broker, want);
  return [...policyPlan(memberships, broker.policies), ...steps];
};
const made = applyAll(emptyBroker, stepsOf(emptyBroker));
const nothing: Difference = {
  conflicts: [],
  blocked: [],
  overridden: [],
  memberships: [],
  steps: [],
  later: [],
};
const byHand = (source: string, destination: string): Binding => ({
  source,
  destination,
  destinationType: 'queue',
  routingKey: 'by.hand',
  arguments: {},
});
const withQueue = (broker: ModelBroker, name: string, change: Partial<FoundQueue>): ModelBroker => ({
  ...broker,
  queues: broker.queues.map((queue) => (queue.name === name ? { ...queue, ...change } : queue)),
});

test.each([
  ['shop.loyalty.wait.1000', { delayedRetry: false }, plainSpec],
  ['shop.loyalty.retry', {}, { ...plainSpec, queue: { type: 'stream', maxAge: '7d' } } as const],
  ['shop.loyalty.offset', {}, { ...plainSpec, queue: { type: 'stream', maxAge: '7d' } } as const],
])('%s of somebody else is a conflict, and Warren’s own is none', (name, lacking, spec) => {
  const want = wantedTopology({ namespace: 'shop', name: 'loyalty', spec }, { ...modern, ...lacking });
  const whole = applyAll(emptyBroker, stepsOf(emptyBroker, want));
  expect(whole.queues.map((queue) => queue.name)).toContain(name);
  expect(compare(whole, want)).toEqual(nothing);
  const theirs = withQueue(whole, name, { arguments: { 'x-queue-type': 'quorum' } });
  expect(compare(theirs, want)).toMatchObject({
    conflicts: [
      `queue ${name} is somebody else's, and Warren makes one of that name beside queue shop.loyalty: ` +
        'delete it or choose another name',
    ],
    steps: [],
    memberships: [],
  });
});

describe('on an empty broker', () => {
  test('everything is made, in an order in which no message can be lost', () => {
    expect(stepsOf(emptyBroker).map(describeStep)).toEqual([
      expect.stringMatching(/^put policy warren\./),
      expect.stringMatching(/^put policy warren\./),
      'declare exchange events',
      'declare exchange failed_events',
      'declare queue shop.loyalty',
      'declare queue shop.loyalty.dead',
      'bind shop.loyalty.dead to failed_events by shop.loyalty',
      'bind shop.loyalty to events by order.placed',
    ]);
  });

  test('nothing differs afterwards', () => {
    expect(compare(made)).toEqual(nothing);
  });

  test('its queues are known as made by Warren, those of somebody else are not', () => {
    expect(foreignQueues(wanted, inventoryOf(made))).toEqual([]);
    expect(foreignQueues(wanted, inventoryOf(emptyBroker))).toEqual([]);
    const others = inventoryOf({ ...made, policies: [] });
    expect(foreignQueues(wanted, others)).toEqual(['shop.loyalty.dead', 'shop.loyalty']);
  });
});

describe('queues that were there before a subscription', () => {
  const made = (want: WantedTopology, found = emptyBroker) => applyAll(found, stepsOf(found, want));
  const ofAnySpec = fc.tuple(subscription, capabilities).map(([one, can]) => wantedTopology(one, can));

  test('that Warren made and that were retained are known, of whatever type, also by the dead letters alone', () => {
    fc.assert(
      fc.property(ofAnySpec, ofAnySpec, (before, now) => {
        fc.pre(before.names.queue === now.names.queue);
        const retained = made(before);
        expect(foreignQueues(now, inventoryOf(retained))).toEqual([]);
        const step = { step: 'deleteQueue', queue: before.names.queue, onlyIfEmpty: true } as const;
        expect(foreignQueues(now, inventoryOf(apply(retained, step)))).toEqual([]);
      }),
    );
  });

  test('are known after a crash at any step, where the first that is made tells', () => {
    fc.assert(
      fc.property(ofAnySpec, fc.nat(), (want, crash) => {
        fc.pre(want.queues.at(-1)?.arguments['x-queue-type'] === 'quorum');
        const steps = stepsOf(emptyBroker, want);
        const half = applyAll(emptyBroker, steps.slice(0, crash % (steps.length + 1)));
        expect(foreignQueues(want, inventoryOf(half))).toEqual([]);
      }),
    );
  });

  test("that are somebody else's are so even where policies of Warren name them, which were foreseen", () => {
    const args = fc.constantFrom(
      {},
      { 'x-dead-letter-exchange': 'their.dead', 'x-dead-letter-routing-key': 'k' },
    );
    fc.assert(
      fc.property(ofAnySpec, args, (want, theirs) => {
        const { policies } = made(want);
        const queues = want.queues.map(({ name }) => ({ ...quorumQueue(name, theirs), type: 'quorum' }));
        const found = inventoryOf({ ...emptyBroker, policies, queues });
        expect(foreignQueues(want, found).sort()).toEqual(queues.map(({ name }) => name).sort());
      }),
    );
  });
});

describe('what was changed by hand', () => {
  test('a deleted dead-letter queue comes back with its binding', () => {
    const broken = apply(made, { step: 'deleteQueue', queue: 'shop.loyalty.dead', onlyIfEmpty: false });
    expect(compare(broken).steps.map(describeDifference)).toEqual([
      'queue shop.loyalty.dead is missing',
      'shop.loyalty.dead is not bound to failed_events by shop.loyalty',
    ]);
  });

  test('a binding that is not wanted goes after the one that is missing has come', () => {
    const moved = { ...made, bindings: [...made.bindings.slice(0, 1), byHand('events', 'shop.loyalty')] };
    expect(compare(moved).steps.map(describeStep)).toEqual([
      'bind shop.loyalty to events by order.placed',
      'unbind shop.loyalty from events by by.hand',
    ]);
  });

  test('a binding from another exchange, or to the other queue, is left alone', () => {
    const bindings = [
      ...made.bindings,
      byHand('foreign', 'shop.loyalty'),
      byHand('events', 'shop.loyalty.dead'),
      byHand('failed_events', 'shop.loyalty'),
    ];
    expect(compare({ ...made, bindings })).toEqual(nothing);
  });

  test('a key that the broker adds to a binding makes no difference', () => {
    const bindings = made.bindings.map((binding) => ({ ...binding, propertiesKey: 'order.placed' }));
    expect(compare({ ...made, bindings })).toEqual(nothing);
  });

  test('a deleted policy is missed, by both queues where both had it', () => {
    expect(compare({ ...made, policies: [] }).memberships).toEqual(wanted.memberships);
  });

  test('a policy of somebody else that wins is named, with what to do', () => {
    const theirs = { name: 'limits', pattern: '^shop', applyTo: 'all', priority: 50, definition: {} };
    expect(compare({ ...made, policies: [...made.policies, theirs] })).toEqual({
      ...nothing,
      overridden: wanted.memberships.map(
        ({ queue }) =>
          `policy "limits" (priority 50) applies to ${queue} instead of Warren's: ` +
          `give it a priority below 10 or a pattern that leaves ${queue} out`,
      ),
    });
  });
});

describe('what cannot be changed in place is said, and nothing is touched', () => {
  test.each<[string, Partial<FoundQueue>, string]>([
    ['another type', { type: 'classic' }, 'queue shop.loyalty is of type classic and should be quorum'],
    ['not durable', { durable: false }, 'queue shop.loyalty is not durable'],
    [
      'another argument',
      { arguments: { ...wanted.queues[1]!.arguments, 'x-overflow': 'drop-head' } },
      'queue shop.loyalty has x-overflow "drop-head" and should have "reject-publish"',
    ],
    [
      'one argument more',
      { arguments: { ...wanted.queues[1]!.arguments, 'x-expires': 5_000 } },
      'queue shop.loyalty has x-expires 5000 and should have none',
    ],
  ])('%s', (_what, change, sentence) => {
    const other = { ...withQueue(made, 'shop.loyalty', change), bindings: [], policies: [] };
    expect(compare(other)).toEqual({ ...nothing, blocked: [sentence] });
  });

  test('a type that the virtual host gives by default is not among the arguments, and is right', () => {
    const { 'x-queue-type': _, ...args } = wanted.queues[1]!.arguments;
    expect(compare(withQueue(made, 'shop.loyalty', { arguments: args }))).toEqual(nothing);
  });

  test('a change of ordering is an argument', () => {
    const strict = wantedTopology(
      {
        namespace: 'shop',
        name: 'loyalty',
        spec: { ...plainSpec, delivery: { ...plainSpec.delivery, ordering: 'Strict' } },
      },
      modern,
    );
    expect(compare(made, strict).blocked).toEqual([
      'queue shop.loyalty has x-single-active-consumer none and should have true',
    ]);
  });

  test.each([
    [{ type: 'fanout' }, 'of type fanout'],
    [{ durable: false }, 'not durable'],
    [{ autoDelete: true }, 'deleted with its last binding'],
    [{ internal: true }, 'internal, so that nobody can publish to it'],
  ])('an exchange that is %j', (change, is) => {
    const exchanges = made.exchanges.map((exchange) => ({ ...exchange, ...change }));
    expect(compare({ ...made, exchanges, bindings: [] })).toEqual({
      ...nothing,
      conflicts: ['events', 'failed_events'].map(
        (name) => `exchange ${name} is ${is}: Warren needs a durable topic exchange of that name`,
      ),
    });
  });
});

test.each(['shop.loyalty', 'shop.loyalty.dead'])(
  '%s exclusive to a connection cannot be emptied or deleted by anybody else: a conflict',
  (name) => {
    const broker = withQueue(made, name, { type: 'classic', arguments: {}, exclusive: true });
    expect(compare(broker)).toMatchObject({
      conflicts: [expect.stringMatching(new RegExp(`^queue ${name} is exclusive to the connection`))],
      steps: [],
      memberships: [],
    });
  },
);

describe('wait queues of other delays', () => {
  const waiting = (messages: number | undefined, args = deadLettersTo('', 'shop.loyalty')): ModelBroker => ({
    ...made,
    queues: [...made.queues, { ...quorumQueue('shop.loyalty.wait.500', args), type: 'quorum', messages }],
  });

  test('are deleted when they are empty, after another look', () => {
    expect(compare(waiting(0)).steps).toEqual([
      { step: 'deleteQueue', queue: 'shop.loyalty.wait.500', onlyIfEmpty: true },
    ]);
  });

  test.each([2, undefined])('stay while they hold %p messages', (messages) => {
    expect(compare(waiting(messages))).toEqual({
      ...nothing,
      later: [
        'queue shop.loyalty.wait.500 is not needed any more and is deleted when its messages have gone back',
      ],
    });
  });

  test.each([{}, deadLettersTo('', 'their.queue'), deadLettersTo('their.exchange', 'shop.loyalty')])(
    'are left where they are not for its messages: %j',
    (args) => {
      expect(compare(waiting(0, args))).toEqual(nothing);
    },
  );
});

describe('whatever is wanted, and whatever is found', () => {
  const world = subscription.chain((one) =>
    fc.tuple(fc.constant(one), capabilities, anyBroker(one)).map(([it, can, found]) => ({
      want: wantedTopology(it, can),
      found,
    })),
  );
  const without = <T extends { later: string[]; overridden: string[] }>(given: T) => ({
    ...given,
    later: [],
    overridden: [],
  });

  test('the steps lead to what is wanted: comparing again gives none', () => {
    fc.assert(
      fc.property(world, ({ want, found }) => {
        const first = compare(found, want);
        const then = applyAll(found, stepsOf(found, want));
        const blocked = first.conflicts.length + first.blocked.length > 0;
        if (blocked) expect(then).toEqual(found);
        else expect(without(compare(then, want))).toEqual(nothing);
      }),
      { numRuns: 500 },
    );
  });

  test('a crash after any step leaves something that the next comparison completes', () => {
    fc.assert(
      fc.property(world, fc.nat(), ({ want, found }, crash) => {
        const steps = stepsOf(found, want);
        const halfway = applyAll(found, steps.slice(0, crash % (steps.length + 1)));
        const { blocked, conflicts } = compare(found, want);
        fc.pre(blocked.length + conflicts.length === 0);
        expect(without(compare(applyAll(halfway, stepsOf(halfway, want)), want))).toEqual(nothing);
      }),
    );
  });

  test('at no step a wanted binding is gone that was there, or a new queue bound without its dead letters', () => {
    fc.assert(
      fc.property(world, ({ want, found }) => {
        const { queue, deadLetterQueue } = want.names;
        const keys = new Set(want.bindings.map(canonical));
        const bound = (broker: ModelBroker) => broker.bindings.map(canonical).filter((key) => keys.has(key));
        let now = found;
        for (const step of stepsOf(found, want)) {
          now = apply(now, step);
          for (const key of bound(found)) expect(bound(now)).toContain(key);
          if (step.step !== 'bind' || step.binding.destination !== queue) continue;
          expect(now.queues.map(({ name }) => name)).toContain(deadLetterQueue);
          expect(now.bindings).toContainEqual(want.bindings[0]);
        }
      }),
    );
  });

  test('nothing is touched that is not ours', () => {
    fc.assert(
      fc.property(world, ({ want, found }) => {
        const { queue, deadLetterQueue } = want.names;
        const isOurs = (name: string) =>
          [queue, deadLetterQueue, ...Object.values(streamQueuesOf(queue))].includes(name) ||
          name.startsWith(`${queue}.wait.`);
        for (const step of stepsOf(found, want)) {
          const { kind } = labelsOf(step);
          if (step.step === 'putPolicy') expect(readPolicyName(step.policy.name)).toBeDefined();
          if (step.step === 'deletePolicy') expect(readPolicyName(step.policy)).toBeDefined();
          if (step.step === 'deleteQueue') expect(isOurs(step.queue)).toBe(true);
          if (step.step === 'declareQueue') expect(isOurs(step.queue.name)).toBe(true);
          if (step.step === 'declareExchange')
            expect(['events', 'failed_events']).toContain(step.exchange.name);
          if (step.step === 'bind' || step.step === 'unbind')
            expect([`events ${queue}`, `failed_events ${deadLetterQueue}`]).toContain(
              `${step.binding.source} ${step.binding.destination}`,
            );
          expect(kind).toMatch(/^(exchange|queue|binding|policy)$/);
        }
      }),
    );
  });
});
