import { describe, expect, test } from '@jest/globals';
import { OrderCancelled, OrderCompleted, UserCreated } from '@warren/contracts';
import type { Event } from '@warren/contracts';
import { eventually, testBroker, testDatabase } from '@warren/environment/testing';
import { asEvent, ask, openWorkbench } from '@warren/service/testing';
import { startMailSink } from '../../../scripts/mail-sink.ts';
import { notificationService } from './index.ts';
import { createMailer } from './mailer.ts';
import { welcomeMail } from './mails.ts';

const bench = async () => openWorkbench({ broker: await testBroker(), database: await testDatabase() });
const patterns = ['user.created', 'order.completed', 'order.cancelled'];

const created = (userId: string, domain = 'example.com'): Event =>
  asEvent(UserCreated.create({ userId, email: `${userId}@${domain}`, name: 'Ada' }), 0, {
    id: `created-${userId}`,
    aggregateId: userId,
  });
const completed = (orderId: string, userId: string): Event =>
  asEvent(OrderCompleted.create({ orderId, userId, total: 5, paymentId: 'p' }), 1, {
    id: `completed-${orderId}`,
    aggregateId: orderId,
  });
const cancelled = (orderId: string, userId: string): Event =>
  asEvent(OrderCancelled.create({ orderId, userId, total: 5, reason: 'over the limit' }), 1, {
    id: `cancelled-${orderId}`,
    aggregateId: orderId,
  });

interface Notifications {
  readonly notifications: readonly { readonly subject: string }[];
}

describe('the notification service', () => {
  test('mails each user once for each event, though events come twice', async () => {
    await using sink = await startMailSink();
    await using ground = await bench();
    const subscription = await ground.subscribe('notification', patterns);
    const { url } = await ground.start(notificationService, { SMTP_URL: sink.url });
    await subscription.publish(created('ada'), created('ada'));
    await eventually(() => sink.mails.length === 1);
    await subscription.publish(completed('o1', 'ada'), cancelled('o2', 'ada'), completed('o1', 'ada'));
    await eventually(() => ground.spy.events('NotificationSent').length === 3);
    await eventually(async () => (await subscription.depth()) === 0);
    expect(sink.mails.map(({ subject }) => subject).sort()).toEqual([
      'Welcome to the shop',
      'Your order o1 is complete',
      'Your order o2 was cancelled',
    ]);
    expect(new Set(sink.mails.flatMap(({ to }) => to))).toEqual(new Set(['ada@example.com']));
    const { body } = await ask<Notifications>(`${url}/notifications?userId=ada`);
    expect(body.notifications).toHaveLength(3);
    expect(await subscription.deadLetter()).toBeUndefined();
  });

  test('waits for the user of an order that it heard of first', async () => {
    await using sink = await startMailSink();
    await using ground = await bench();
    const subscription = await ground.subscribe('notification', patterns, { attempts: 20 });
    const { url } = await ground.start(notificationService, { SMTP_URL: sink.url });
    await subscription.publish(completed('o1', 'ada'));
    await eventually(async () =>
      (await ask(`${url}/metrics`)).text.includes('warren_consumer_retries_total{'),
    );
    expect(sink.mails).toHaveLength(0);
    await subscription.publish(created('ada'));
    await eventually(() => sink.mails.length === 2);
    expect(sink.mails.map(({ subject }) => subject)).toContain('Your order o1 is complete');
  });

  test('tries again while the mail server is busy, and sends with the same Message-ID', async () => {
    await using sink = await startMailSink({ refusedDomain: 'busy.example' });
    await using ground = await bench();
    const subscription = await ground.subscribe('notification', patterns, { attempts: 50 });
    const { url } = await ground.start(notificationService, { SMTP_URL: sink.url });
    await subscription.publish(created('eve', 'busy.example'), created('ada'));
    await eventually(() => sink.mails.length === 1);
    await eventually(async () =>
      (await ask(`${url}/metrics`)).text.includes('warren_consumer_retries_total{'),
    );
    sink.refusedDomain = undefined;
    await eventually(() => sink.mails.length === 2);
    expect(sink.mails[1]?.to).toEqual(['eve@busy.example']);
    expect(sink.mails[1]?.messageId).toMatch(/^<[0-9a-f]{32}@notification\.warren>$/);
  });

  test('sends one mail to a server that takes longer to accept it than a handler may take', async () => {
    const gate = Promise.withResolvers<undefined>();
    await using sink = await startMailSink({ onMail: () => gate.promise });
    await using ground = await bench();
    const subscription = await ground.subscribe('notification', patterns, { attempts: 50 });
    const { url } = await ground.start(notificationService, {
      SMTP_URL: sink.url,
      HANDLER_TIMEOUT_MS: '2000',
    });
    await subscription.publish(created('ada'));
    await eventually(async () =>
      (await ask(`${url}/metrics`)).text.includes('warren_consumer_retries_total{'),
    );
    gate.resolve(undefined);
    await eventually(() => ground.spy.events('NotificationSent').length === 1);
    expect(sink.mails).toHaveLength(1);
    expect(await subscription.deadLetter()).toBeUndefined();
  });

  test('without a mail server sets the mail aside at last, with a reason that tells no secret', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('notification', patterns, { attempts: 2 });
    await ground.start(notificationService, { SMTP_URL: 'smtp://shop:hunter2@127.0.0.1:1' });
    await subscription.publish(created('ada'));
    const dead = await eventually(() => subscription.deadLetter());
    expect(dead.properties.headers).toMatchObject({
      'warren-failure-code': 'WARREN_MAIL',
      'warren-failure-attempts': 2,
    });
    expect(JSON.stringify(dead.properties.headers)).not.toContain('hunter2');
  });
});

test('a mail whose claim was lost is not sent if it still waits; one that is being sent is', async () => {
  const accepted = Promise.withResolvers<undefined>();
  await using sink = await startMailSink({ onMail: () => accepted.promise });
  const mailer = createMailer(sink.url, 'shop@example.com');
  const ada = { userId: 'ada', email: 'ada@example.com', name: 'Ada' };
  const claims = new AbortController();
  const send = (key: string) => mailer.send(ada, welcomeMail(ada), key, claims.signal);
  try {
    const begun = ['1', '2', '3', '4'].map(send);
    await eventually(() => sink.mails.length === begun.length);
    const waiting = send('5');
    claims.abort(new Error('the claim of this message was taken over'));
    await expect(waiting).rejects.toThrow('taken over');
    accepted.resolve(undefined);
    await Promise.all(begun);
    await mailer.send(ada, welcomeMail(ada), '6', new AbortController().signal);
    expect(sink.mails).toHaveLength(begun.length + 1);
  } finally {
    mailer.close();
  }
});

test('a mail that the server cannot keep has not gone out', async () => {
  await using sink = await startMailSink({ onMail: () => Promise.reject(new Error('the disk is full')) });
  const mailer = createMailer(sink.url, 'shop@example.com');
  const ada = { userId: 'ada', email: 'ada@example.com', name: 'Ada' };
  try {
    const sending = mailer.send(ada, welcomeMail(ada), '1', new AbortController().signal);
    await expect(sending).rejects.toMatchObject({ code: 'WARREN_MAIL', permanent: false });
  } finally {
    mailer.close();
  }
});
