import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Found } from '@warren/topology';
import { plainSpec } from '@warren/topology/testing';
import {
  brokerOf,
  capabilities,
  holding,
  inForce,
  nothing,
  plan,
  queue,
  read,
  subscription,
} from '../testing/planning.ts';
import { autoscalerOf } from './objects.ts';
import { changesAnything, planOf } from './plan.ts';
import type { BrokerReading } from './plan.ts';
import { textOf } from './text.ts';

interface Drawn {
  events: string[];
  attempts: number;
  maxLength: number | undefined;
}

test('a new subscription is everything that it makes, and what two share is named once', () => {
  const second = subscription({}, { name: 'payment' });
  const made = plan(nothing, { subscriptions: [{ resource: subscription() }, { resource: second }] });
  expect(made.summary).toMatchObject({ create: 2, change: 0, delete: 0, conflicts: 0 });
  const [first, other] = made.subscriptions;
  expect(first?.objects).toContainEqual({
    action: 'create',
    kind: 'binding',
    name: 'shop.loyalty',
    detail: 'events by order.placed',
  });
  expect(first?.objects).toContainEqual({ action: 'create', kind: 'Secret', name: 'loyalty-binding' });
  const exchanges = (of: typeof first) => of?.objects.filter(({ kind }) => kind === 'exchange');
  expect(exchanges(first)).toHaveLength(2);
  expect(exchanges(other)).toHaveLength(0);
  expect(made.virtualHosts[0]?.policies).toHaveLength(2);
});

test('what is in force already is no change', () => {
  const resource = inForce(subscription());
  const made = plan(brokerOf(resource), { subscriptions: [{ resource, current: resource }] });
  expect(changesAnything(made)).toBe(false);
  expect(textOf(made, { colour: false, where: 'here' })).toMatch(/No changes: 1 unchanged\.\n$/);
});

test('what a takeover brings along is counted, partitions together', () => {
  const delivery = { ...plainSpec.delivery, ordering: 'PerKey' as const, partitions: 2 };
  const old = subscription({ delivery });
  const metadata = { name: 'points', annotations: { 'warren.events/claim-from': 'shop/loyalty' } };
  const found = holding(
    holding(brokerOf(old), 'shop.loyalty.partition.00', 3),
    'shop.loyalty.partition.01',
    4,
  );
  const [made] = plan(found, {
    subscriptions: [{ resource: subscription({ delivery }, metadata) }],
  }).subscriptions;
  expect(JSON.stringify(made)).toContain('takes over from shop/loyalty, with 7 messages');
});

test('a changed event is a new binding, a binding less, and no word of the rest', () => {
  const current = inForce(subscription());
  const resource = { ...current, spec: { ...plainSpec, events: ['OrderCompleted'] } };
  const [made] = plan(brokerOf(current), { subscriptions: [{ resource, current }] }).subscriptions;
  expect(made).toMatchObject({
    action: 'change',
    fields: [{ path: 'spec.events', from: ['OrderPlaced'], to: ['OrderCompleted'] }],
    objects: [
      { action: 'create', kind: 'binding', detail: 'events by order.completed' },
      { action: 'delete', kind: 'binding', detail: 'events by order.placed' },
    ],
  });
});

test('a tunable is told with its old and its new value, on the broker and in the binding', () => {
  const current = inForce(subscription());
  const delivery = {
    ...plainSpec.delivery,
    prefetch: 7,
    retry: { ...plainSpec.delivery.retry, attempts: 9 },
  };
  const resource = { ...current, spec: { ...plainSpec, delivery } };
  const [made] = plan(brokerOf(current), { subscriptions: [{ resource, current }] }).subscriptions;
  expect(made?.objects).toEqual([
    { action: 'change', kind: 'settings', name: queue, detail: 'delivery-limit 25 → 29' },
    { action: 'change', kind: 'Secret', name: 'loyalty-binding', detail: 'attempts 5 → 9, prefetch 50 → 7' },
  ]);
});

test('the old value of a setting is that of a policy for queues of its type', () => {
  const current = inForce(subscription({ queue: { type: 'classic', maxLength: 10 } }));
  const resource = {
    ...current,
    spec: { ...current.spec, queue: { type: 'classic' as const, maxLength: 20 } },
  };
  const made = brokerOf(current);
  const theirs = (applyTo: string, limit: number) => ({
    ...{ name: applyTo, pattern: '^shop', priority: 11, definition: { 'max-length': limit } },
    applyTo,
  });
  const found = {
    ...made,
    policies: [...made.policies, theirs('quorum_queues', 3), theirs('classic_queues', 7)],
  };
  const [first] = plan(found, { subscriptions: [{ resource, current }] }).subscriptions;
  expect(first?.objects).toContainEqual(
    expect.objectContaining({ kind: 'settings', name: queue, detail: 'max-length 7 → 20' }),
  );
});

test('an immutable change says how many messages it moves, and still names the new binding', () => {
  const current = inForce(subscription());
  const delivery = { ...plainSpec.delivery, ordering: 'Strict' as const };
  const resource = {
    ...current,
    spec: { ...plainSpec, delivery, events: ['OrderPlaced', 'OrderCompleted'] },
  };
  const made = plan(holding(brokerOf(current), queue, 1_204), { subscriptions: [{ resource, current }] });
  expect(made.subscriptions[0]?.migrations).toEqual([
    {
      queue,
      changes: [{ property: 'x-single-active-consumer', from: 'none', to: 'true' }],
      messages: 1_204,
    },
  ]);
  expect(made.subscriptions[0]?.objects).toContainEqual({
    action: 'create',
    kind: 'binding',
    name: queue,
    detail: 'events by order.completed',
  });
  expect(textOf(made, { colour: false, where: '' })).toContain('1204 messages are moved');
});

test('of a queue in which RabbitMQ delays retries it says that they are over before it is made anew', () => {
  const current = inForce(subscription());
  const delivery = { ...plainSpec.delivery, ordering: 'PerKey' as const };
  const subscriptions = [{ resource: { ...current, spec: { ...plainSpec, delivery } }, current }];
  const notes = (ready: number) =>
    plan(holding(brokerOf(current), queue, 5, ready), { subscriptions }).subscriptions[0]?.notes;
  expect(notes(4)).toEqual([
    'queue shop.loyalty holds retries that RabbitMQ delays: it is made anew when they are over',
  ]);
  expect(notes(5)).toEqual([]);
});

test('while a queue is being made anew, it says so, and no number of messages', () => {
  const current = inForce(subscription());
  const delivery = { ...plainSpec.delivery, ordering: 'Strict' as const };
  const there = brokerOf(current);
  const exchange = (name: string, args: Record<string, string>) => ({
    ...{ name, type: 'fanout', durable: true, autoDelete: false, internal: false },
    arguments: args,
  });
  const [points, aside] = [`${queue}.points`, `${queue}.aside`];
  const found: Found = {
    ...there,
    exchanges: [...there.exchanges, exchange(points, { 'alternate-exchange': aside }), exchange(aside, {})],
  };
  const made = plan(found, {
    subscriptions: [{ resource: { ...current, spec: { ...plainSpec, delivery } }, current }],
  });
  expect(made.subscriptions[0]?.notes).toContainEqual(
    expect.stringMatching(/^queue shop\.loyalty is being made anew now: phase /),
  );
  expect(made.subscriptions[0]?.migrations[0]).not.toHaveProperty('messages');
  expect(textOf(made, { colour: false, where: '' })).toContain('its messages are moved');
});

test('an autoscaler is called as the engine needs it that the spec names, or the status where that says Auto', () => {
  const name = 'l'.repeat(63);
  const scaled = (engine: 'Auto' | 'Hpa' | 'Keda', used: string) => {
    const scaling = { minReplicas: 1, maxReplicas: 10, drainWithin: '30s', engine };
    const resource = { metadata: { name }, spec: { ...plainSpec, scaling } };
    return autoscalerOf(resource, { ...resource, status: { replicas: { engine: used } } }).name;
  };
  expect(scaled('Auto', 'Hpa')).toBe(`${name}-scaling`);
  expect(scaled('Hpa', 'Keda')).toBe(`${name}-scaling`);
  expect(scaled('Auto', 'Keda')).toMatch(/^l{45}-[0-9a-f]{8}$/);
  expect(scaled('Keda', 'Hpa')).toBe(scaled('Auto', 'Keda'));
});

test('an autoscaler comes, changes and goes with the spec, and a user of its own with the first binding', () => {
  const scaling = { minReplicas: 1, maxReplicas: 10, drainWithin: '30s', engine: 'Auto' as const };
  const autoscaler = (before: typeof scaling | undefined, after: typeof scaling | undefined) => {
    const current = inForce(subscription(before === undefined ? {} : { scaling: before }));
    const resource = { ...current, ...subscription(after === undefined ? {} : { scaling: after }) };
    const [made] = plan(brokerOf(current), { subscriptions: [{ resource, current }] }).subscriptions;
    return made?.objects.map(({ action, kind }) => `${action} ${kind}`);
  };
  expect(autoscaler(undefined, scaling)).toEqual(['create autoscaler']);
  expect(autoscaler(scaling, { ...scaling, maxReplicas: 3 })).toEqual(['change autoscaler']);
  expect(autoscaler(scaling, undefined)).toEqual(['delete autoscaler']);
  expect(autoscaler(scaling, scaling)).toEqual([]);
  const spec = {
    secretRef: { namespace: 'x', name: 'y' },
    consumerCredentials: { mode: 'PerSubscription' as const },
  };
  const readings = new Map([['default', read(nothing, { metadata: { name: 'default' }, spec })]]);
  const [made] = plan(nothing, { subscriptions: [{ resource: subscription() }], readings }).subscriptions;
  expect(made?.objects).toContainEqual(expect.objectContaining({ kind: 'user', name: 'shop.loyalty@…' }));
});

test('somebody else’s queue is a conflict that says how to take it over; a stream cannot be made anew', () => {
  const foreign = { name: queue, type: 'quorum', durable: true, autoDelete: false, arguments: {} };
  const found = { ...nothing, queues: [foreign] };
  const refused = plan(found, { subscriptions: [{ resource: subscription() }] });
  expect(refused.summary.conflicts).toBe(1);
  expect(refused.subscriptions[0]?.conflicts[0]).toContain('warren.events/adopt=true');
  const adopting = subscription({}, { annotations: { 'warren.events/adopt': 'true' } });
  const adopted = plan(found, { subscriptions: [{ resource: adopting }] });
  expect(adopted.summary.conflicts).toBe(0);
  expect(adopted.subscriptions[0]?.notes[0]).toContain('takes over shop.loyalty');
  const stream = { ...foreign, type: 'stream' };
  const blocked = plan({ ...nothing, queues: [stream] }, { subscriptions: [{ resource: adopting }] });
  expect(blocked.subscriptions[0]?.conflicts[0]).toContain('is of type stream');
});

test('somebody else’s queue under a name that an edit newly wants is a conflict', () => {
  const current = inForce(subscription());
  const resource = { ...current, spec: { ...plainSpec, queue: { type: 'stream', maxAge: '7d' } } } as const;
  const theirs = { name: `${queue}.offset`, type: 'quorum', durable: true, autoDelete: false, arguments: {} };
  const ours = brokerOf(current);
  const found = { ...ours, queues: [...ours.queues, theirs] };
  const [made] = plan(found, { subscriptions: [{ resource, current }] }).subscriptions;
  expect(made?.conflicts).toEqual([expect.stringContaining(`${queue}.offset is somebody else's`)]);
  const [free] = plan(ours, { subscriptions: [{ resource, current }] }).subscriptions;
  expect(free?.conflicts).toEqual([]);
});

test('queues that were its own until it was unmanaged are taken back', () => {
  const foreign = { name: queue, type: 'quorum', durable: true, autoDelete: false, arguments: {} };
  const managed = inForce(subscription());
  const condition = {
    type: 'TopologyInSync',
    status: 'Unknown',
    reason: 'Unmanaged',
    message: '',
    observedGeneration: 1,
    lastTransitionTime: '',
  } as const;
  const unmanaged = subscription({}, { annotations: { 'warren.events/unmanaged': 'true' } });
  const current = { ...unmanaged, status: { ...managed.status, conditions: [condition] } };
  const found = { ...nothing, queues: [foreign] };
  const [made] = plan(found, { subscriptions: [{ resource: subscription(), current }] }).subscriptions;
  expect(made?.conflicts).toEqual([]);
  expect(made?.notes).toContain('takes back shop.loyalty, its own until it was unmanaged');
});

test('a broker that is not there, or does not allow the namespace, is a conflict', () => {
  const subscriptions = [{ resource: subscription() }];
  const missing = planOf({
    subscriptions,
    publishers: [],
    brokers: [],
    removed: [],
    scales: true,
    readings: new Map(),
  });
  expect(missing.subscriptions[0]?.conflicts).toEqual(['there is no EventBroker named "default"']);
  const spec = { secretRef: { namespace: 'x', name: 'y' }, allowedNamespaces: ['other'] };
  const readings = new Map([['default', read(nothing, { metadata: { name: 'default' }, spec })]]);
  const refused = planOf({ subscriptions, publishers: [], brokers: [], removed: [], scales: true, readings });
  expect(refused.subscriptions[0]?.conflicts[0]).toContain('does not allow the namespace shop');
});

test('a broker without the hash plugin is a conflict of who wants its order by key', () => {
  const delivery = { ...plainSpec.delivery, ordering: 'PerKey' as const };
  const without = { ...read(nothing), capabilities: { ...capabilities, hashExchange: false } };
  const readings = new Map<string, BrokerReading>([['default', without]]);
  const refused = plan(nothing, { subscriptions: [{ resource: subscription({ delivery }) }], readings });
  expect(refused.subscriptions[0]?.conflicts).toEqual([expect.stringContaining('consistent_hash')]);
  expect(refused.virtualHosts[0]?.policies).toEqual([]);
});

test('drift is told as such, and left where the policy is to report it', () => {
  const repaired = inForce(subscription());
  const found = { ...brokerOf(repaired), bindings: [] };
  const [made] = plan(found, { subscriptions: [{ resource: repaired, current: repaired }] }).subscriptions;
  expect(made?.notes).toContainEqual(expect.stringContaining('somebody changed this on the broker'));
  const left = inForce(subscription({ driftPolicy: 'Report' }));
  const reported = plan(found, { subscriptions: [{ resource: left, current: left }] });
  expect(changesAnything(reported)).toBe(false);
  expect(reported.subscriptions[0]?.notes).toContainEqual(expect.stringContaining('driftPolicy is Report'));
});

test.each(['warren.events/paused', 'warren.events/unmanaged'])(
  '%s: nothing is done to the broker',
  (name) => {
    const resource = subscription({}, { annotations: { [name]: 'true' } });
    const [made] = plan(nothing, { subscriptions: [{ resource }] }).subscriptions;
    expect(made?.objects).toEqual([]);
    expect(made?.notes[0]).toContain(name);
  },
);

test('names and values from elsewhere cannot paint on the terminal', () => {
  const spec = { events: ['\u001b[2Jgone\u202e'] };
  const current = inForce(subscription());
  const resource = { ...current, spec: { ...current.spec, ...spec } };
  const text = textOf(plan(brokerOf(current), { subscriptions: [{ resource, current }] }), {
    colour: false,
    where: 'a\u009bb',
  });
  // eslint-disable-next-line no-control-regex
  expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
  expect(text).toContain('\\u{1b}[2Jgone\\u{202e}');
});

test('after what a plan says was done, there is nothing left to plan', () => {
  const specs = fc.record({
    events: fc.uniqueArray(fc.constantFrom('OrderPlaced', 'OrderCompleted', 'payment.*', '#'), {
      minLength: 1,
    }),
    attempts: fc.integer({ min: 1, max: 6 }),
    maxLength: fc.option(fc.constantFrom(10, 1_000), { nil: undefined }),
  });
  const resourceOf = (name: string, { events, attempts, maxLength }: Drawn) =>
    subscription(
      {
        events,
        delivery: { ...plainSpec.delivery, retry: { ...plainSpec.delivery.retry, attempts } },
        queue: { ...plainSpec.queue, ...(maxLength === undefined ? {} : { maxLength }) },
      },
      { name },
    );
  fc.assert(
    fc.property(fc.tuple(specs, specs), fc.tuple(specs, specs), (before, after) => {
      const names = ['loyalty', 'payment'];
      const old = before.map((spec, index) => inForce(resourceOf(names[index] ?? '', spec)));
      const found = brokerOf(...old);
      const now = after.map((spec, index) => ({ ...old[index], ...resourceOf(names[index] ?? '', spec) }));
      const first = plan(found, {
        subscriptions: now.map((resource, index) => ({ resource, current: old[index] })),
      });
      const same = brokerOf(...now);
      const again = plan(same, {
        subscriptions: now.map((one) => ({ resource: inForce(one), current: inForce(one) })),
      });
      expect(changesAnything(again)).toBe(false);
      const isChanged = JSON.stringify(before) !== JSON.stringify(after);
      // Two orders of the same events are one topology, but not one spec.
      expect(changesAnything(first)).toBe(isChanged);
    }),
  );
});
