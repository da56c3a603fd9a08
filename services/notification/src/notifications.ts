/** The read model of notifications: one document a mail, found by its user. */
import { NotificationSent } from '@warren/contracts';
import { defineProjection } from '@warren/event-store';

/** A notification as clients see it. */
export interface NotificationView {
  readonly id: string;
  readonly userId: string;
  readonly to: string;
  readonly subject: string;
  readonly template: string;
  readonly orderId?: string;
  /** ISO 8601. */
  readonly sentAt: string;
}

export const notifications = defineProjection<NotificationView>({
  name: 'notifications',
  key: (event) => event.aggregateId,
  evolve: (view, event) => {
    if (!NotificationSent.is(event)) return view;
    const { notificationId: id, userId, to, subject, template, orderId } = event.data;
    return {
      id,
      userId,
      to,
      subject,
      template,
      ...(orderId === undefined ? {} : { orderId }),
      sentAt: event.timestamp,
    };
  },
  indexes: [{ key: { userId: 1, sentAt: 1 } }],
});
