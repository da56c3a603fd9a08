/**
 * Whether a shop that runs somewhere does what it promises: orders of users of its own, all at once, each of which must end
 * once, with its points and its place in the event log. It leaves those users and orders behind, as any customer would.
 */
import type { Event } from '@warren/contracts';
import { get, post, ShopRequestError, type Order, type User } from '../shop-client.ts';

/** Something did not come out. Code WARREN_NOT_ACCEPTED. */
export class AcceptanceError extends Error {
  override readonly name = 'AcceptanceError';
  readonly code = 'WARREN_NOT_ACCEPTED';
}

export interface Acceptance {
  /** Base URLs of the services that are asked; read anew for each request, since a forwarded one may move. */
  readonly urls: Readonly<Record<'user' | 'order' | 'loyalty' | 'event-log', string>>;
  readonly orders: number;
  /** Milliseconds for all of it. */
  readonly withinMs: number;
}

const USERS = 5;
const PARALLEL = 10;

/** @throws {AcceptanceError} with the first thing that is not as it should be */
export async function accept({ urls, orders: count, withinMs }: Acceptance): Promise<string> {
  const started = performance.now();
  const until = started + withinMs;
  const run = Date.now().toString(36);
  const create = async <T>(service: 'user' | 'order', key: string, body: unknown): Promise<T> =>
    // The same key again is the same request: an answer that got lost makes no second order.
    patiently(`${service} takes what it is given`, until, async () => {
      const headers = { 'idempotency-key': `acceptance-${run}-${key}` };
      return (await post<T>(`${urls[service]}/${service}s`, body, headers)).body;
    });
  const users = await Promise.all(
    Array.from({ length: USERS }, (_, index) =>
      create<User>('user', `user-${index}`, {
        email: `acceptance-${run}-${index}@warren.example`,
        name: `Acceptance ${index}`,
      }),
    ),
  );
  const placed: Order[] = [];
  await inParallel(count, async (index) => {
    const user = users[index % USERS];
    if (user === undefined) return;
    const lines = [{ sku: 'acceptance', quantity: 1, unitPrice: 10 + (index % 7) }];
    placed.push(await create<Order>('order', `order-${index}`, { userId: user.id, lines }));
  });

  const decided: Order[] = [];
  await inParallel(placed.length, async (index) => {
    const id = placed[index]?.id ?? '';
    decided.push(
      await patiently(`order ${id} is decided`, until, async () => {
        const order = await get<Order>(`${urls.order}/orders/${id}`);
        return order.status === 'placed' ? undefined : order;
      }),
    );
    await patiently(`the event log has order ${id} and its end, once`, until, async () => {
      const { events } = await get<{ events: Event[] }>(`${urls['event-log']}/events?aggregateId=${id}`);
      if (events.length > 2)
        throw new AcceptanceError(`order ${id} has ${events.length} events in the log, not 2`);
      return events.length === 2 ? true : undefined;
    });
  });

  for (const user of users) {
    const points = decided
      .filter(({ userId, status }) => userId === user.id && status === 'completed')
      .reduce((sum, { total }) => sum + Math.floor(total), 0);
    await patiently(`user ${user.id} has ${points} points`, until, async () => {
      const found = await get<{ points: number }>(`${urls.loyalty}/loyalty/${user.id}`);
      if (found.points > points)
        throw new AcceptanceError(`user ${user.id} has ${found.points} points for orders worth ${points}`);
      return found.points === points ? true : undefined;
    });
  }
  const completed = decided.filter(({ status }) => status === 'completed').length;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  return `${count} orders, ${completed} completed, ${count - completed} cancelled, each once, in ${seconds} s`;
}

/** Tries until there is a result. A service that is away for a moment is no failure; a wrong answer is. */
async function patiently<T>(what: string, until: number, attempt: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    let last = 'not yet';
    try {
      const result = await attempt();
      if (result !== undefined) return result;
    } catch (error) {
      const wrong =
        error instanceof ShopRequestError &&
        error.status >= 400 &&
        error.status < 500 &&
        error.status !== 404;
      if (error instanceof AcceptanceError || wrong) throw error;
      last = error instanceof Error ? error.message : String(error);
    }
    if (performance.now() > until) throw new AcceptanceError(`${what}: ${last}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function inParallel(count: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const index = next;
      next += 1;
      await work(index);
    }
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL, count) }, worker));
}
