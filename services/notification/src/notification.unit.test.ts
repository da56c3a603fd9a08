import { describe, expect, test } from '@jest/globals';
import { NotificationSent } from '@warren/contracts';
import { readSettings } from '@warren/service';
import { given } from '@warren/service/testing';
import { notificationService } from './index.ts';
import { MailError, messageIdOf, timeLimits } from './mailer.ts';
import { cancelledMail, completedMail, welcomeMail } from './mails.ts';
import { notificationDecider } from './notification.ts';

const ada = { userId: 'user-1', email: 'ada@example.com', name: 'Ada' };
const sent = {
  notificationId: 'notification-event-1',
  userId: 'user-1',
  to: 'ada@example.com',
  subject: 'Welcome to the shop',
  template: 'welcome',
};

describe('a notification', () => {
  test('is written down once', () => {
    given(notificationDecider).when(sent).then(NotificationSent.create(sent));
    given(notificationDecider, NotificationSent.create(sent)).when(sent).then();
  });
});

test('a mail server has as long to answer as RFC 5321 gives it, and the handler longer', () => {
  const env = { MONGODB_URL: 'mongodb://host/', SMTP_URL: 'smtp://host' };
  const { HANDLER_TIMEOUT_MS } = readSettings(notificationService.settings!, env);
  expect(timeLimits.socketTimeout).toBeGreaterThanOrEqual(10 * 60_000);
  expect(HANDLER_TIMEOUT_MS).toBeGreaterThan(timeLimits.socketTimeout);
});

describe('the mails', () => {
  test('greet by name and say what happened', () => {
    expect(welcomeMail(ada).text).toContain('Dear Ada');
    const order = { orderId: 'order-1', userId: 'user-1', total: 5.5 };
    expect(completedMail(ada, { ...order, paymentId: 'p' }).text).toContain('5.50');
    expect(cancelledMail(ada, { ...order, reason: 'over the limit' }).text).toContain('over the limit');
  });
});

describe('the mailer', () => {
  test('gives the same key the same Message-ID, and another key another', () => {
    expect(messageIdOf('a')).toBe(messageIdOf('a'));
    expect(messageIdOf('a')).not.toBe(messageIdOf('b'));
    expect(messageIdOf('a\r\nBcc: eve@example.com')).toMatch(/^<[0-9a-f]{32}@notification\.warren>$/);
  });

  test('gives up on what the mail server refuses for good, and only on that', () => {
    const answer = (responseCode: number, code: string) =>
      new MailError(Object.assign(new Error('secret detail'), { responseCode, code })).permanent;
    expect(answer(550, 'EENVELOPE')).toBe(true);
    expect(answer(450, 'EENVELOPE')).toBe(false);
    expect(answer(535, 'EAUTH')).toBe(false);
    expect(new MailError(Object.assign(new Error('x'), { code: 'ECONNREFUSED' })).permanent).toBe(false);
  });
});
