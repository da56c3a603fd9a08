/** What a subscription promises while the shop runs: retries, dead letters, patience, and following its file. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { encodeEvent, UserCreated } from '@warren/contracts';
import { eventually } from '@warren/environment/testing';
import { asEvent } from '@warren/service/testing';
import { eventuallyHolds } from './support/eventually.ts';
import { refusedDomain, TestShop } from './support/test-shop.ts';
import { startWitness, type Taken, type Witness } from './support/witness.ts';

const attempts = 3;
const firstDelayMs = 1000;

let shop: TestShop;
let witness: Witness;
let deadLetters: readonly Taken[];

beforeAll(async () => {
  shop = await TestShop.start({
    edit: {
      notification: (yaml) =>
        yaml.replace(/retry: .*/, `retry: { attempts: ${attempts}, backoff: { initial: 1s, max: 1m } }`),
    },
  });
  witness = await startWitness(shop.broker.amqpUrl);
  deadLetters = await witness.take('shop.notification.dead');
}, 120_000);

afterAll(async () => {
  await witness[Symbol.asyncDispose]();
  await shop[Symbol.asyncDispose]();
}, 60_000);

/** When notification failed at an event, attempt by attempt. */
const failuresAt = (email: string) => {
  const id = witness.events.find(({ data }) => (data as { email?: string }).email === email)?.id;
  return shop.records
    .filter(
      ({ msg, process, eventId }) =>
        msg === 'an event could not be handled' && process === 'notification' && eventId === id,
    )
    .map(({ attempt, time }) => ({ attempt: Number(attempt), at: Date.parse(String(time)) }));
};

describe('a message whose handler fails every time', () => {
  test('is tried as often as the subscription says, with a growing delay, and is then set aside with its reason', async () => {
    const eve = await shop.createUser('Eve', refusedDomain);
    const letter = await eventually(() => deadLetters.find(({ content }) => content.includes(eve.id)));
    const failures = failuresAt(eve.email);
    expect(failures.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    const [first = 0, second = 0] = failures.slice(1).map(({ at }, index) => at - (failures[index]?.at ?? 0));
    // A delay is never shorter than the policy says; 50 ms for the clocks' rounding.
    expect(first).toBeGreaterThanOrEqual(firstDelayMs - 50);
    expect(second).toBeGreaterThanOrEqual(2 * firstDelayMs - 50);

    expect(letter.headers).toMatchObject({
      'warren-failure-subscription': 'shop/notification',
      'warren-failure-attempts': attempts,
      'warren-failure-reason': expect.stringContaining('451'),
      'warren-failure-code': 'WARREN_MAIL',
      'warren-original-routing-key': 'user.created',
    });
    expect(JSON.parse(letter.content.toString())).toMatchObject({ userId: eve.id });
    expect(shop.mailsTo(eve.email)).toEqual([]);
  });

  test('does not hold up the others, and is handled once its trouble is over', async () => {
    await shop.edit('notification.yaml', (yaml) => yaml.replace(`attempts: ${attempts}`, 'attempts: 10'));
    await eventually(() => shop.records.some(({ msg }) => msg === 'consuming by changed settings'));
    const eve = await shop.createUser('Eve', refusedDomain);
    await eventually(() => failuresAt(eve.email).length > 0);
    const ada = await shop.createUser('Ada');
    await eventually(() => shop.mailsTo(ada.email).length === 1);
    expect(shop.mailsTo(eve.email)).toEqual([]);

    shop.mailSink.refusedDomain = undefined;
    await eventually(() => shop.mailsTo(eve.email).length === 1);
    expect(deadLetters.filter(({ content }) => content.includes(eve.id))).toEqual([]);
  });
});

describe('a message that can never be handled', () => {
  test.each([
    ['is not JSON', '{"userId":', 'JSON'],
    [
      'breaks its contract',
      '{"userId":"u-1","email":"a@example.com","name":""}',
      'UserCreated version 1: name:',
    ],
  ])('because it %s goes to the dead letters at once, and the queue goes on', async (_, body, reason) => {
    const id = `never-${body.length}`;
    const event = asEvent(UserCreated.create({ userId: 'u-1', email: 'a@example.com', name: 'A' }), 0, {
      id,
    });
    const { properties } = encodeEvent(event);
    await witness.publishRaw('user.created', Buffer.from(body), properties);
    const letter = await eventually(() => deadLetters.find(({ messageId }) => messageId === id));
    expect(letter.headers).toMatchObject({
      'warren-failure-attempts': 1,
      'warren-failure-reason': expect.stringContaining(reason),
    });
    const ada = await shop.createUser('Ada');
    await eventually(() => shop.mailsTo(ada.email).length === 1);
  });
});

test('with notification stopped orders complete, and when it is back each mail is sent once', async () => {
  await shop.shop.stop('notification');
  const users = await Promise.all(['Ada', 'Bob', 'Cid'].map((name) => shop.createUser(name)));
  const orders = await Promise.all(users.map(({ id }) => shop.placeOrder(id, 12)));
  for (const order of orders) expect((await shop.decided(order.id)).status).toBe('completed');
  for (const { email } of users) expect(shop.mailsTo(email)).toEqual([]);

  shop.shop.services.notification.start();
  await shop.shop.ready('notification');
  await eventuallyHolds(() => {
    for (const [index, { email }] of users.entries()) {
      const subjects = shop.mailsTo(email).map(({ subject }) => subject);
      expect(subjects.sort()).toEqual([
        'Welcome to the shop',
        `Your order ${orders[index]?.id ?? ''} is complete`,
      ]);
    }
  });
});

describe('an EventSubscription of one’s own', () => {
  const file = 'audit.yaml';
  const yaml = (events: string) => `apiVersion: warren.events/v1alpha1
kind: EventSubscription
metadata: { name: audit, namespace: shop }
spec:
  events: ${events}
`;
  const ready = () => eventually(async () => /reason: Ready/.test(await shop.status('shop.audit.yaml')));
  let audited: readonly Taken[];
  const types = () => audited.map(({ headers }) => headers['cloudEvents_type']);

  test('gets a queue with its events when its file is added', async () => {
    await shop.write(file, yaml('[UserCreated]'));
    await ready();
    await shop.createUser('Ada');
    audited = await witness.take('shop.audit');
    await eventuallyHolds(() => expect(types()).toEqual(['UserCreated']));
  });

  test('follows an edit', async () => {
    await shop.write(file, yaml('["payment.*"]'));
    await eventuallyHolds(async () => {
      const keys = (await shop.management.bindingsOf('shop.audit')).map(({ routingKey }) => routingKey);
      expect(keys).toEqual(['payment.*']);
    });
    const ada = await shop.createUser('Ada');
    await shop.decided((await shop.placeOrder(ada.id, 10)).id);
    await eventuallyHolds(() => expect(types()).toEqual(['UserCreated', 'PaymentApproved']));
  });

  test('keeps what is in force when its file has a mistake, and the mistake is told with file and line', async () => {
    await shop.write(file, yaml('[]'));
    await eventuallyHolds(async () => {
      expect(await shop.status('problems.txt')).toMatch(/audit\.yaml:5: .*spec\.events/);
    });
    expect((await shop.management.bindingsOf('shop.audit')).map(({ routingKey }) => routingKey)).toEqual([
      'payment.*',
    ]);
  });
});
