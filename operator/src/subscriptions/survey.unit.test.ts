import { expect, jest, test } from '@jest/globals';
import { capabilitiesOf, difference, policyPlan, wantedTopology } from '@warren/topology';
import type { QueueStats } from '@warren/rabbitmq';
import { plainSpec } from '@warren/topology/testing';
import { LiveInventory } from '../brokers/live-inventory.ts';
import type { SubscriptionResource } from '../resources.ts';
import { effectiveOf } from './effective.ts';
import { statusOf } from './status.ts';
import { survey } from './survey.ts';
import type { AsWanted } from './survey.ts';

const capabilities = capabilitiesOf('4.3.6');
const spec = plainSpec;

const stats = (ready: number): QueueStats => ({
  messages: ready,
  ready,
  unacked: 0,
  delayed: 0,
  consumers: 0,
  state: 'running',
});

/** A subscription at rest, and a broker that is as it wants it. */
function world() {
  const resource: SubscriptionResource = { metadata: { name: 'a', namespace: 'shop', generation: 1 }, spec };
  resource.status = statusOf(
    resource,
    {
      verdict: { verdict: 'inSync' },
      names: { queue: 'shop.a', deadLetterQueue: 'shop.a.dead' },
      counts: { ready: 0, unacked: 0, deadLetters: 0, consumers: 0 },
    },
    '2026-01-01T00:00:00Z',
  );
  const found = new LiveInventory({ exchanges: [], queues: [], bindings: [], policies: [] });
  const wanted = wantedTopology({ namespace: 'shop', name: 'a', spec }, capabilities);
  const { memberships, steps } = difference(wanted, found);
  for (const step of policyPlan(memberships, [])) found.apply(step);
  for (const step of steps) found.apply(step);
  const inForce = effectiveOf(resource, found);
  if (inForce !== undefined) resource.status.effectiveArguments = inForce;
  const counted = new Map([
    ['shop.a', stats(0)],
    ['shop.a.dead', stats(0)],
  ]);
  const connection = { name: 'default', capabilities, statsOf: (queue: string) => counted.get(queue) };
  const look = (known?: AsWanted) => survey([resource], found, connection, known);
  return { resource, found, counted, connection, look };
}

test('what is as it was left is let alone', () => {
  expect(world().look()).toEqual([]);
});

test('what differs is looked at: on the broker, in its counts, in its spec', () => {
  const drifted = world();
  drifted.found.apply({ step: 'deleteQueue', queue: 'shop.a.dead', onlyIfEmpty: false });
  expect(drifted.look()).toEqual(['shop/a']);

  const counted = world();
  counted.counted.set('shop.a', stats(3));
  expect(counted.look()).toEqual(['shop/a']);

  const edited = world();
  edited.resource.metadata.generation = 2;
  expect(edited.look()).toEqual(['shop/a']);

  const fresh = world();
  delete fresh.resource.status;
  expect(fresh.look()).toEqual(['shop/a']);
});

test('counts that are not known are no difference; what is deleted, or on another broker, is not looked at', () => {
  const uncounted = world();
  uncounted.counted.clear();
  expect(uncounted.look()).toEqual([]);

  const deleted = world();
  delete deleted.resource.status;
  deleted.resource.metadata.deletionTimestamp = '2026-01-01T00:00:00Z';
  expect(deleted.look()).toEqual([]);

  const elsewhere = world();
  delete elsewhere.resource.status;
  elsewhere.resource.spec = { ...spec, brokerRef: { name: 'other' } };
  expect(elsewhere.look()).toEqual([]);
});

test('what was as wanted is compared anew when the broker, the subscription or what the broker can do has changed', () => {
  const known: AsWanted = new WeakMap();
  const { resource, found, counted, connection, look } = world();
  const compared = jest.spyOn(found.queues, 'get');
  const looks = () => {
    compared.mockClear();
    const keys = look(known);
    return { keys, compares: compared.mock.calls.length > 0 };
  };
  expect(looks()).toEqual({ keys: [], compares: true });
  expect(looks()).toEqual({ keys: [], compares: false });

  counted.set('shop.a', stats(3));
  expect(looks()).toEqual({ keys: ['shop/a'], compares: false });
  counted.set('shop.a', stats(0));

  connection.capabilities = capabilitiesOf('4.3.6');
  expect(looks()).toEqual({ keys: [], compares: true });

  found.apply({ step: 'deleteQueue', queue: 'shop.a.dead', onlyIfEmpty: false });
  expect(looks()).toEqual({ keys: ['shop/a'], compares: true });
  expect(looks()).toEqual({ keys: ['shop/a'], compares: true });

  const other = survey([{ ...resource, spec: { ...spec, events: ['OrderPaid'] } }], found, connection, known);
  expect(other).toEqual(['shop/a']);
});
