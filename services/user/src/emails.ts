/**
 * One user an email, without a transaction.
 *
 * Two documents cannot be written at once, so neither of them alone decides:
 *  1. The first request with an email inserts a reservation that says which id the user of this email has. It is never
 *     changed and never removed.
 *  2. Every request with this email, the first and all later ones, tries to create the user *with that id*. The event
 *     store lets one of them write version 1.
 * A crash between the two leaves an email that nobody has; the next request with it takes over the id and completes it.
 * No lock, no time limit, no cleaning up.
 */
import { createHash } from 'node:crypto';
import { isDuplicateKey } from '@warren/event-store';
import type { App } from '@warren/service';

interface Reservation {
  /** A hash of the email: the reservation need not say whose it is. */
  _id: string;
  userId: string;
  reservedAt: Date;
}

type Database = App['database'];

const reservations = (database: Database) => database.collection<Reservation>('email_reservations');

/** The id that the user of this email has or will have; `wanted` when nobody asked before. */
export async function userIdFor(database: Database, email: string, wanted: string): Promise<string> {
  const _id = createHash('sha256').update(email.trim().toLowerCase()).digest('base64url');
  try {
    await reservations(database).insertOne({ _id, userId: wanted, reservedAt: new Date() });
    return wanted;
  } catch (error) {
    if (!isDuplicateKey(error)) throw error;
  }
  const reserved = await reservations(database).findOne({ _id });
  if (reserved === null) throw new Error('A reservation that was there is gone.');
  return reserved.userId;
}
