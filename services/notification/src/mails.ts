/** What the mails say: an event and whom it concerns, to a subject and a text. Pure. */
import type { DataOf, OrderCancelled, OrderCompleted } from '@warren/contracts';

/** Whom a mail goes to. */
export interface Address {
  readonly userId: string;
  readonly email: string;
  readonly name: string;
}

/** A mail before it is sent. */
export interface Mail {
  readonly template: 'welcome' | 'order-completed' | 'order-cancelled';
  readonly subject: string;
  readonly text: string;
  readonly orderId?: string;
}

export function welcomeMail({ name }: Address): Mail {
  return {
    template: 'welcome',
    subject: 'Welcome to the shop',
    text: letter(name, 'Good to have you here. You can order right away.'),
  };
}

export function completedMail({ name }: Address, order: DataOf<typeof OrderCompleted>): Mail {
  return {
    template: 'order-completed',
    subject: `Your order ${order.orderId} is complete`,
    text: letter(name, `Your order ${order.orderId} is paid (${order.total.toFixed(2)}) and on its way.`),
    orderId: order.orderId,
  };
}

export function cancelledMail({ name }: Address, order: DataOf<typeof OrderCancelled>): Mail {
  return {
    template: 'order-cancelled',
    subject: `Your order ${order.orderId} was cancelled`,
    text: letter(name, `We had to cancel your order ${order.orderId}: ${order.reason}. Nothing was charged.`),
    orderId: order.orderId,
  };
}

function letter(name: string, body: string): string {
  return `Dear ${name},\n\n${body}\n\nThe shop\n`;
}
