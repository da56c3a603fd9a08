/** The routes of the event log. */
import { route } from '@warren/service';
import type { Route } from '@warren/service';
import { z } from 'zod';
import type { EventLog, LogQuery } from './log.ts';

/** A time, or the `next` of an earlier page: `<time>~<key>`. */
const since = z
  .string()
  .max(300)
  .transform((value, context): NonNullable<LogQuery['since']> => {
    const [time = '', ...key] = value.split('~');
    const date = new Date(time);
    if (!/^\d{4}-\d{2}-\d{2}/.test(time) || Number.isNaN(date.getTime())) {
      context.addIssue({
        code: 'custom',
        message: 'must be a time (ISO 8601) or the next of an earlier page',
      });
      return z.NEVER;
    }
    return { timestamp: date.toISOString(), ...(key.length === 0 ? {} : { afterKey: key.join('~') }) };
  });

const query = z.object({
  aggregateId: z.string().min(1).max(200).optional(),
  type: z.string().min(1).max(100).optional(),
  since: since.optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
});

const page = z.object({
  events: z.array(z.unknown()),
  next: z.string().optional().describe('the since of the next page; none when this was the last one'),
});

const sales = z.object({
  by: z.literal('day'),
  sales: z.array(z.object({ day: z.iso.date(), currency: z.string(), orders: z.int(), total: z.number() })),
  skipped: z.int().describe('events in versions that the report does not know; their orders are not in it'),
});

export const eventLogRoutes = (log: EventLog): readonly Route[] => [
  route({
    method: 'get',
    path: '/events',
    summary: 'Every event of the shop, oldest first, page by page.',
    query,
    responses: { 200: { description: 'A page', schema: page } },
    handle: async ({ query }) => {
      const found = await log.find(query);
      const last = found.length < query.limit ? undefined : found.at(-1);
      return {
        status: 200,
        body: {
          events: found.map(({ event }) => event),
          ...(last === undefined ? {} : { next: `${last.event.timestamp}~${last.key}` }),
        },
      };
    },
  }),
  route({
    method: 'get',
    path: '/reports/sales',
    summary: 'Completed orders and their sum, by day (UTC) and currency.',
    query: z.object({ by: z.literal('day', 'must be day').default('day') }),
    responses: { 200: { description: 'The report', schema: sales } },
    handle: async ({ query: { by } }) => ({ status: 200, body: { by, ...(await log.salesByDay()) } }),
  }),
];
