/** Who is told what: a mail for each of three events, sent once and then written down. */
import { eventKeyOf, OrderCancelled, OrderCompleted, UserCreated } from '@warren/contracts';
import type { Event } from '@warren/contracts';
import { on, RetryLaterError } from '@warren/service';
import type { Handler, HandlerContext } from '@warren/service';
import type { Addresses } from './addresses.ts';
import type { Mailer } from './mailer.ts';
import { cancelledMail, completedMail, welcomeMail } from './mails.ts';
import type { Address, Mail } from './mails.ts';
import { notificationDecider, notificationIdOf } from './notification.ts';

export function notificationHandlers(addresses: Addresses, mailer: Mailer): readonly Handler[] {
  /** First the mail, claimed by its event; then the fact. A crash between the two repeats only the second. */
  async function notify(event: Event, to: Address, mail: Mail, context: HandlerContext): Promise<void> {
    await context.once((key, signal) => mailer.send(to, mail, key, signal));
    const notificationId = notificationIdOf(eventKeyOf(event));
    await context.execute(notificationDecider, notificationId, {
      notificationId,
      userId: to.userId,
      to: to.email,
      subject: mail.subject,
      template: mail.template,
      ...(mail.orderId === undefined ? {} : { orderId: mail.orderId }),
    });
  }

  /** An order may be heard of before its user: different events, no common order. */
  async function addressOf(userId: string): Promise<Address> {
    const address = await addresses.find(userId);
    if (address === undefined) throw new RetryLaterError(`The address of user ${userId} is not known yet.`);
    return address;
  }

  return [
    on(UserCreated, async (event, context) => {
      const { userId, email, name } = event.data;
      const address = { userId, email, name };
      await addresses.remember(address);
      await notify(event, address, welcomeMail(address), context);
    }),
    on(OrderCompleted, async (event, context) => {
      const address = await addressOf(event.data.userId);
      await notify(event, address, completedMail(address, event.data), context);
    }),
    on(OrderCancelled, async (event, context) => {
      const address = await addressOf(event.data.userId);
      await notify(event, address, cancelledMail(address, event.data), context);
    }),
  ];
}
