/**
 * The points of a user: one for each whole unit of the currency, once for each order. Pure.
 */
import { PointsEarned, toCents } from '@warren/contracts';
import type { Decider } from '@warren/event-store';

/** What an account is after its events. */
export interface Account {
  readonly points: number;
  /** The last order that gave points, and those before it. A list grows at no cost; a copied set costs all of it each time. */
  readonly orders: Earned | undefined;
}

interface Earned {
  readonly orderId: string;
  readonly before: Earned | undefined;
}

/** An order was completed. */
export interface EarnCommand {
  readonly userId: string;
  readonly orderId: string;
  readonly total: number;
}

/** The account of a user. */
export function accountIdOf(userId: string): string {
  return `account-${userId}`;
}

/** The rules of an account. */
export const accountDecider: Decider<Account, EarnCommand> = {
  initial: { points: 0, orders: undefined },
  evolve: (account, event) => {
    if (!PointsEarned.is(event)) return account;
    const { orderId, points } = event.data;
    return { points: account.points + points, orders: { orderId, before: account.orders } };
  },
  decide: ({ userId, orderId, total }, account) => {
    const points = pointsFor(total);
    if (points === 0 || hasEarned(account, orderId)) return [];
    return [PointsEarned.create({ userId, orderId, points })];
  },
};

function hasEarned(account: Account, orderId: string): boolean {
  for (let earned = account.orders; earned !== undefined; earned = earned.before)
    if (earned.orderId === orderId) return true;
  return false;
}

/** One point for each whole unit of the currency. */
export function pointsFor(total: number): number {
  return Math.floor(toCents(total) / 100);
}
