/**
 * Customers, in a pod beside the shop: so many orders a second, each tried again under the same Idempotency-Key until it is
 * taken, and a record of every attempt that was not. Asked to finish, it waits until each order has ended and compares what
 * was taken with what came of it.
 *
 * Runs as it is, by node, in an image of the shop: no import but node's own.
 *
 *   GET /         { placed, taken, refused: [{ at, what }], lost }   at: milliseconds since 1970
 *   GET /finish   the same with { verdict: { orders, completed, wrong: [...], points, expectedPoints } }
 */
import { createServer } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

const { RATE = '20', RUN = 'load', ORDER = 'http://order', USER = 'http://user' } = process.env;
const {
  LOYALTY = 'http://loyalty',
  EVENT_LOG = 'http://event-log',
  PAYMENT = 'http://payment',
} = process.env;
const USERS = 25;
const MOST_WAITING = 100;
const PATIENCE_MS = 120_000;
interface Order {
  id: string;
  status: string;
}

interface Verdict {
  orders: number;
  completed: number;
  wrong: string[];
  points: number;
  expectedPoints: number;
}

const state = {
  placed: 0,
  taken: 0,
  refused: [] as { at: number; what: string }[],
  lost: 0,
  verdict: undefined as Verdict | undefined,
};
const orders = new Set<string>();
let going = true;

/** Tries until it is taken. Undefined when it was not, for all its patience. */
async function send<T>(url: string, key: string, body: object): Promise<T | undefined> {
  const until = Date.now() + PATIENCE_MS;
  for (let pause = 100; ; pause = Math.min(pause * 2, 2_000)) {
    let what: string;
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': key },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(30_000),
      });
      const text = await response.text();
      if (response.ok) return JSON.parse(text) as T;
      what = `${response.status} ${text.slice(0, 200)}`;
    } catch (error) {
      const { name, message, cause } = error as Error & { cause?: Error & { code?: string } };
      what = `${cause?.code ?? name} ${cause?.message ?? message}`;
    }
    state.refused.push({ at: Date.now(), what });
    if (Date.now() > until) return undefined;
    await delay(pause);
  }
}

async function ask<T>(url: string): Promise<T | undefined> {
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(10_000) });
      const text = await response.text();
      if (response.ok) return JSON.parse(text) as T;
      if (Date.now() > until) return undefined;
    } catch (error) {
      if (Date.now() > until) throw error;
    }
    await delay(500);
  }
}

async function place(user: string, index: number): Promise<void> {
  state.placed += 1;
  const lines = [{ sku: 'tea', quantity: 1, unitPrice: 10 }];
  const order = await send<Order>(`${ORDER}/orders`, `${RUN}-${index}`, { userId: user, lines });
  if (order === undefined) state.lost += 1;
  else {
    state.taken += 1;
    orders.add(order.id);
  }
}

/** What is wrong with an order that should have ended once; undefined: nothing. */
async function judge(id: string): Promise<string | undefined> {
  const until = Date.now() + 120_000;
  let order: Order | undefined;
  do {
    order = await ask<Order>(`${ORDER}/orders/${id}`);
    if (order?.status !== 'placed') break;
    await delay(500);
  } while (Date.now() < until);
  if (order?.status !== 'completed') return `${id} is ${order?.status ?? 'unknown'}`;
  let types: string[];
  do {
    const found = await ask<{ events: { type: string }[] }>(`${EVENT_LOG}/events?aggregateId=${id}`);
    types = (found?.events ?? []).map(({ type }) => type).sort();
    if (types.length >= 2) break;
    await delay(500);
  } while (Date.now() < until);
  if (types.join() !== 'OrderCompleted,OrderPlaced') return `${id} has the events ${types.join() || 'none'}`;
  const paid = (await ask<{ payments: object[] }>(`${PAYMENT}/payments?orderId=${id}`))?.payments.length;
  return paid === 1 ? undefined : `${id} was paid ${paid ?? 0} times`;
}

async function judgeAll(): Promise<Verdict> {
  const wrong: string[] = [];
  const waiting = [...orders];
  const total = waiting.length;
  const judges = Array.from({ length: 8 }, async () => {
    for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
      const found = await judge(id);
      if (found !== undefined) wrong.push(found);
    }
  });
  await Promise.all(judges);
  const expectedPoints = 10 * (total - wrong.length);
  let points: number;
  const until = Date.now() + 60_000;
  do {
    await delay(500);
    const accounts = users.map((user) => ask<{ points: number }>(`${LOYALTY}/loyalty/${user}`));
    points = (await Promise.all(accounts)).reduce((sum, account) => sum + (account?.points ?? 0), 0);
  } while (points < expectedPoints && Date.now() < until);
  return {
    orders: total,
    completed: total - wrong.length,
    wrong: wrong.slice(0, 20),
    points,
    expectedPoints,
  };
}

const users = await Promise.all(
  Array.from({ length: USERS }, async (_, index) => {
    const registered = { email: `${RUN}-${index}@warren.example`, name: `Customer ${index}` };
    return (await send<{ id: string }>(`${USER}/users`, `${RUN}-user-${index}`, registered))?.id ?? '';
  }),
);
const placing = new Set<Promise<void>>();
const timer = setInterval(
  () => {
    // A shop that cannot keep up has fewer customers, not a crowd at its door.
    if (placing.size >= MOST_WAITING) return;
    const one = place(users[state.placed % USERS] ?? '', state.placed).finally(() => {
      placing.delete(one);
    });
    placing.add(one);
  },
  1_000 / Number(RATE),
);

async function finish(): Promise<void> {
  clearInterval(timer);
  await Promise.all(placing);
  state.verdict = await judgeAll();
}

createServer((request, response) => {
  if (request.url === '/finish' && going) {
    going = false;
    void finish();
  }
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(state));
}).listen(3000);
