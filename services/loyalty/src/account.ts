/**
 * The points of a user: one for each whole unit of the currency, once for each order. Pure.
 */
import { PointsEarned, toCents } from '@warren/contracts';
import type { Decider } from '@warren/event-store';

/** What an account is after its events. */
export interface Account {
  readonly points: number;
  /** The orders that gave points. */
  readonly orders: ReadonlySet<string>;
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
  initial: { points: 0, orders: new Set() },
  evolve: (account, event) => {
    if (!PointsEarned.is(event)) return account;
    const { orderId, points } = event.data;
    return { points: account.points + points, orders: new Set([...account.orders, orderId]) };
  },
  decide: ({ userId, orderId, total }, account) => {
    const points = pointsFor(total);
    if (points === 0 || account.orders.has(orderId)) return [];
    return [PointsEarned.create({ userId, orderId, points })];
  },
};

/** One point for each whole unit of the currency. */
export function pointsFor(total: number): number {
  return Math.floor(toCents(total) / 100);
}
