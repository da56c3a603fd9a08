/** A notification: a mail that was sent, written down once. Pure. */
import { NotificationSent } from '@warren/contracts';
import type { DataOf } from '@warren/contracts';
import type { Decider } from '@warren/event-store';

/** What was sent. */
export type Sent = DataOf<typeof NotificationSent>;

/** The notification about an event. */
export function notificationIdOf(eventKey: string): string {
  return `notification-${eventKey}`;
}

/** The rules of a notification: there is one, whatever is delivered how often. */
export const notificationDecider: Decider<Sent | undefined, Sent> = {
  initial: undefined,
  evolve: (sent, event) => (NotificationSent.is(event) ? event.data : sent),
  decide: (command, sent) => (sent === undefined ? [NotificationSent.create(command)] : []),
};
