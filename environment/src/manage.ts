/** One call of a broker's management API, by tests. */
import { setTimeout as paused } from 'node:timers/promises';

/** So many idle connections may have been hung up on by the broker, each just as it is used again. */
const MANAGE_TRIES = 6;

/**
 * The parsed answer; undefined where it is empty. What is no success is an error. May be made twice: it is made again when the
 * connection breaks.
 *
 * @param base `http://user:password@host:port`
 * @param path from `/api/` on
 */
export async function manage(base: string, method: string, path: string, body?: unknown): Promise<unknown> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await manageOnce(base, method, path, body);
    } catch (error) {
      // fetch's "other side closed" is a TypeError of the realm outside jest's, which `instanceof` does not know.
      if ((error as Error).name !== 'TypeError' || tries >= MANAGE_TRIES) throw error;
      await paused(100 * tries);
    }
  }
}

async function manageOnce(base: string, method: string, path: string, body?: unknown): Promise<unknown> {
  const { origin, username, password } = new URL(base);
  const response = await fetch(`${origin}${path}`, {
    method,
    headers: {
      authorization: `Basic ${btoa(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`)}`,
      'content-type': 'application/json',
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    // A virtual host with ten thousand queues takes its time to go.
    signal: AbortSignal.timeout(method === 'DELETE' ? 300_000 : 30_000),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text === '' ? undefined : (JSON.parse(text) as unknown);
}
