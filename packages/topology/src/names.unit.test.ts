import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { BrokerCapabilities } from './capabilities.ts';
import { DEFAULT_EXCHANGES } from './names.ts';
import { streamQueuesOf } from './queue-types.ts';
import type { Subscription } from './spec.ts';
import { temporaryNamesOf } from './temporary.ts';
import { capabilities, spec } from './testing/arbitraries.ts';
import { wantedTopology } from './wanted.ts';

/** As Kubernetes allows them, hostile ones first; neither has a dot. */
const label = fc.oneof(
  fc.constantFrom('a', 'dead', 'wait', 'points', 'waited', 'a-dead', 'offset', '0', '1000', 'events'),
  fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?$/),
);

interface Subject extends Subscription {
  can: BrokerCapabilities;
}

const subscriptions: fc.Arbitrary<Subject> = fc.record({
  namespace: label,
  name: label,
  spec,
  can: capabilities,
});

/** Every queue and exchange that a subscription may ever have, also in the middle of a migration. */
function objectsOf({ namespace, name, spec, can }: Subject): string[] {
  const { queues, bindings, names } = wantedTopology({ namespace, name, spec }, can);
  const own = [
    ...queues.map((queue) => queue.name),
    ...Object.values<string>({ ...streamQueuesOf(names.queue) }),
  ];
  expect(bindings.every(({ destination }) => own.includes(destination))).toBe(true);
  return [...own, ...own.flatMap((queue) => Object.values<string>({ ...temporaryNamesOf(queue) }))];
}

test('no two subscriptions ever have an object in common, nor one of the shared exchanges', () => {
  fc.assert(
    fc.property(subscriptions, subscriptions, (one, other) => {
      fc.pre(one.namespace !== other.namespace || one.name !== other.name);
      const mine = new Set(objectsOf(one));
      expect(objectsOf(other).filter((object) => mine.has(object))).toEqual([]);
      expect(
        Object.values<string>({ ...DEFAULT_EXCHANGES }).filter((exchange) => mine.has(exchange)),
      ).toEqual([]);
    }),
    { numRuns: 500 },
  );
});
