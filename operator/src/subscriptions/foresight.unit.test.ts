import { expect, test } from '@jest/globals';
import { capabilitiesOf, namesOf, policyPlan, wantedTopology } from '@warren/topology';
import { plainSpec } from '@warren/topology/testing';
import { LiveInventory } from '../brokers/live-inventory.ts';
import type { BrokerResource, SubscriptionResource } from '../resources.ts';
import type { Collection } from '../source.ts';
import { FINALIZER } from '../resources.ts';
import { claimableAge } from './claims.ts';
import { foreseen, inVain } from './foresight.ts';
import { statusOf } from './status.ts';

const capabilities = capabilitiesOf('4.3.6');
const spec = plainSpec;

const subscription = (name: string, metadata: object = {}): SubscriptionResource => ({
  metadata: { name, namespace: 'shop', generation: 1, ...metadata },
  spec,
});

function collection<T extends { metadata: { name: string; namespace?: string } }>(items: T[]): Collection<T> {
  const key = ({ metadata: { name, namespace } }: T) =>
    namespace === undefined ? name : `${namespace}/${name}`;
  return {
    get: (wanted) => items.find((one) => key(one) === wanted),
    list: () => items,
    revision: 1,
    onChange: () => undefined,
    changes: { name: '', start: () => undefined, synced: Promise.resolve(), stop: () => Promise.resolve() },
  };
}

function source(subscriptions: SubscriptionResource[], allowedNamespaces = ['*']) {
  const secretRef = { namespace: 'warren-system', name: 'rabbitmq' };
  const broker: BrokerResource = { metadata: { name: 'default' }, spec: { secretRef, allowedNamespaces } };
  return { subscriptions: collection(subscriptions), brokers: collection([broker]) };
}

const nothing = () => new LiveInventory({ exchanges: [], queues: [], bindings: [], policies: [] });
const broker = { name: 'default', capabilities };
const queuesOf = (memberships: readonly { queue: string }[]) => memberships.map(({ queue }) => queue).sort();
const namesIn = (name: string) => {
  const { queue, deadLetterQueue } = namesOf('shop', name);
  return [queue, deadLetterQueue];
};

const inSync = (name: string): SubscriptionResource => {
  const resource = subscription(name);
  const findings = {
    verdict: { verdict: 'inSync' },
    names: namesOf('shop', name),
    retryMode: 'broker',
  } as const;
  return { ...resource, status: statusOf(resource, findings, '2026-01-01T00:00:00Z') };
};

test('new and edited subscriptions are foreseen, each in both of its queues', () => {
  const edited = inSync('edited');
  edited.metadata.generation = 2;
  const found = foreseen(source([subscription('a'), edited]), broker, nothing());
  expect(queuesOf(found)).toEqual([...namesIn('a'), ...namesIn('edited')]);
});

test('all are foreseen when the broker can do something new', () => {
  const made = { ...inSync('a'), status: { ...inSync('a').status, retryMode: 'ladder' } };
  const found = foreseen(source([made]), broker, nothing());
  expect(queuesOf(found)).toEqual(namesIn('a'));
  const before = { ...broker, capabilities: capabilitiesOf('4.2.0') };
  expect(foreseen(source([made]), before, nothing())).toEqual([]);
});

test('what drifted, is deleted, may not use the broker or is on another one is not foreseen', () => {
  const others = [
    inSync('drifted'),
    subscription('deleted', { deletionTimestamp: '2026-01-01T00:00:00Z' }),
    { ...subscription('elsewhere'), spec: { ...spec, brokerRef: { name: 'other' } } },
  ];
  expect(foreseen(source(others), broker, nothing())).toEqual([]);
  expect(foreseen(source([subscription('a')], ['warehouse']), broker, nothing())).toEqual([]);
  expect(foreseen(source([subscription('a')]), { ...broker, name: 'unknown' }, nothing())).toEqual([]);
});

test("somebody else's queue gets no policy of ours, before it is claimed", () => {
  const found = nothing();
  const queue = wantedTopology({ namespace: 'shop', name: 'a', spec }, capabilities).queues.at(-1);
  if (queue === undefined) throw new Error('no queue');
  found.apply({ step: 'declareQueue', queue });
  expect(foreseen(source([subscription('a')]), broker, found)).toEqual([]);
  const untouched = subscription('a', { finalizers: [FINALIZER] });
  expect(foreseen(source([untouched]), broker, found)).toEqual([]);
  const claimed = { ...untouched, status: {} };
  expect(queuesOf(foreseen(source([claimed]), broker, found))).toEqual(namesIn('a'));
});

test('a policy that names a queue in vain is found: neither there, nor wanted, nor of another namespace', () => {
  const found = nothing();
  const memberships = ['a', 'b'].flatMap(
    (name) => wantedTopology({ namespace: 'shop', name, spec }, capabilities).memberships,
  );
  for (const step of policyPlan(memberships, [])) found.apply(step);
  expect(queuesOf(inVain(source([subscription('a')]), found))).toEqual(namesIn('b'));
  expect(inVain({ ...source([]), namespace: 'warehouse' }, found)).toEqual([]);

  // Retained: nobody wants it, and it is there.
  const { queue: retained } = namesOf('shop', 'b');
  const queue = { name: retained, durable: true, autoDelete: false, arguments: {} };
  found.apply({ step: 'declareQueue', queue });
  expect(queuesOf(inVain(source([subscription('a')]), found))).toEqual(['shop.b.dead']);
});

test('a reading shows what was there before a subscription when it is younger than the subscription', () => {
  const made = subscription('a', { creationTimestamp: '2026-01-01T00:00:00Z' });
  const at = (seconds: number) => Date.parse('2026-01-01T00:00:00Z') + seconds * 1_000;
  expect(claimableAge(made, at(10))).toBe(9_000);
  expect(claimableAge(made, at(0.5))).toBe(0);
  expect(claimableAge(subscription('b'), at(10))).toBe(0);
});
