/**
 * The immutable log of everything that was ever published, as it was published: no upcasting, nothing left out, each
 * event once. Read it with the catalogue's upcasters.
 */
import { eventKeyOf } from '@warren/contracts';
import type { Event } from '@warren/contracts';
import { isDuplicateKey } from '@warren/event-store';
import type { App } from '@warren/service';

/** An event in the log. Its `id` is left out where it is the key. */
type LogDocument = Omit<Event, 'id'> & { _id: string; id?: string; receivedAt: Date };

/** An event and its place among those of the same time. */
export interface LoggedEvent {
  readonly key: string;
  readonly event: Event;
}

/** What to look for; all of it must hold. */
export interface LogQuery {
  readonly aggregateId?: string | undefined;
  readonly type?: string | undefined;
  /** From this time on, or after this place in the log. */
  readonly since?: { readonly timestamp: string; readonly afterKey?: string } | undefined;
  readonly limit: number;
}

/** The log. */
export interface EventLog {
  init(): Promise<void>;
  /** Whether it was new. */
  append(event: Event): Promise<boolean>;
  /** In the order of their timestamps. */
  find(query: LogQuery): Promise<LoggedEvent[]>;
  salesByDay(): Promise<SalesReport>;
}

/** Completed orders and their sum, by day (UTC) and currency. */
export interface SalesReport {
  readonly sales: readonly DaySales[];
  /** Events in versions that the report does not know; their orders are not in it. */
  readonly skipped: number;
}

/** One line of the sales report. */
export interface DaySales {
  /** `2026-01-31` */
  readonly day: string;
  readonly currency: string;
  readonly orders: number;
  readonly total: number;
}

/** The log in the collection `event_log`. */
export function createEventLog(database: App['database']): EventLog {
  const log = () => database.collection<LogDocument>('event_log');
  return {
    init: async () => {
      await log().createIndexes([
        { key: { timestamp: 1, _id: 1 } },
        { key: { aggregateId: 1, timestamp: 1, _id: 1 } },
        { key: { type: 1, timestamp: 1, _id: 1 } },
        { key: { correlationId: 1 } },
      ]);
    },
    append: async ({ id, ...event }) => {
      const key = eventKeyOf({ id, ...event });
      try {
        await log().insertOne({
          _id: key,
          ...(key === id ? {} : { id }),
          ...event,
          receivedAt: new Date(),
        });
        return true;
      } catch (error) {
        if (isDuplicateKey(error)) return false;
        throw error;
      }
    },
    find: async ({ aggregateId, type, since, limit }) => {
      const found = await log()
        .find({
          ...(aggregateId === undefined ? {} : { aggregateId }),
          ...(type === undefined ? {} : { type }),
          ...(since === undefined ? {} : sinceFilter(since)),
        })
        .sort({ timestamp: 1, _id: 1 })
        .limit(limit)
        .batchSize(limit)
        .toArray();
      return found.map(({ _id: key, receivedAt: _, ...event }) => ({ key, event: { id: key, ...event } }));
    },
    salesByDay: async () => {
      const [rows, skipped] = await Promise.all([
        log().aggregate<SalesRow>(salesPipeline).toArray(),
        log().countDocuments({ ...ofOrders, $expr: { $not: [isKnown] } }),
      ]);
      const sales = rows.map(({ _id: { day, currency }, orders, cents }) => ({
        day,
        currency,
        orders,
        total: Math.round(cents) / 100,
      }));
      return { sales, skipped };
    },
  };
}

function sinceFilter({ timestamp, afterKey }: NonNullable<LogQuery['since']>) {
  if (afterKey === undefined) return { timestamp: { $gte: timestamp } };
  return {
    timestamp: { $gte: timestamp },
    $or: [{ timestamp: { $gt: timestamp } }, { _id: { $gt: afterKey } }],
  };
}

interface SalesRow {
  _id: { day: string; currency: string };
  orders: number;
  cents: number;
}

const ofOrders = { type: { $in: ['OrderPlaced', 'OrderCompleted'] } };
const placed = { $eq: ['$type', 'OrderPlaced'] };
const completed = { $eq: ['$type', 'OrderCompleted'] };
/** Unknown versions are in the log as they came; one may have anything for its total, another a total in cents. */
const isKnown = {
  $or: [
    { $and: [placed, { $in: ['$schemaVersion', [1, 2]] }] },
    { $and: [completed, { $in: ['$schemaVersion', [1]] }, { $isNumber: '$data.total' }] },
  ],
};

/** OrderCompleted says what was paid, OrderPlaced in which currency (euros before its version 2). */
const salesPipeline = [
  { $match: ofOrders },
  {
    $group: {
      _id: '$aggregateId',
      skipped: { $sum: { $cond: [isKnown, 0, 1] } },
      currency: { $max: '$data.currency' },
      at: { $max: { $cond: [completed, '$timestamp', ''] } },
      cents: { $max: { $cond: [{ $and: [completed, isKnown] }, { $multiply: ['$data.total', 100] }, 0] } },
    },
  },
  { $match: { skipped: 0, at: { $gt: '' } } },
  {
    $group: {
      _id: { day: { $substrBytes: ['$at', 0, 10] }, currency: { $ifNull: ['$currency', 'EUR'] } },
      orders: { $sum: 1 },
      cents: { $sum: { $round: ['$cents', 0] } },
    },
  },
  { $sort: { '_id.day': 1, '_id.currency': 1 } },
];
