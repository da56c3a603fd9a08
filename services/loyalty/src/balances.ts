/** The read model of loyalty: the points of each user. */
import { PointsEarned } from '@warren/contracts';
import { defineProjection } from '@warren/event-store';

/** The points of a user. */
export interface Balance {
  readonly userId: string;
  readonly points: number;
}

export const balances = defineProjection<Balance>({
  name: 'balances',
  key: (event) => event.aggregateId,
  evolve: (balance, event) => {
    if (!PointsEarned.is(event)) return balance;
    return { userId: event.data.userId, points: (balance?.points ?? 0) + event.data.points };
  },
});
