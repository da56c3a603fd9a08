/** Marks commits as published, as many with one update as are waiting; tries again until it succeeds or is stopped, then once more. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { backoffMs, pause } from './backoff.ts';

export interface Marker {
  /** Resolves when the commits are marked, or when the marker was stopped: then they are published once more one day. */
  add(commitIds: readonly string[]): Promise<void>;
}

export interface MarkerOptions {
  readonly mark: (commitIds: readonly string[]) => Promise<void>;
  readonly batch: number;
  readonly signal: AbortSignal;
  readonly onMarked: (count: number) => void;
  readonly onError: (error: unknown) => void;
}

const BACKOFF = { initialMs: 50, maxMs: 5000 };

export function createMarker({ mark, batch, signal, onMarked, onError }: MarkerOptions): Marker {
  let waiting: { commitIds: readonly string[]; done: () => void }[] = [];
  let running = false;

  async function run(): Promise<void> {
    await nextTurn(); // what finishes in the same turn goes along
    while (waiting.length > 0) {
      const taken: typeof waiting = [];
      let count = 0;
      for (const item of waiting) {
        if (count > 0 && count + item.commitIds.length > batch) break;
        taken.push(item);
        count += item.commitIds.length;
      }
      waiting = waiting.slice(taken.length);
      if (await marked(taken.flatMap(({ commitIds }) => commitIds))) onMarked(count);
      for (const { done } of taken) done();
    }
    running = false;
  }

  async function marked(commitIds: readonly string[]): Promise<boolean> {
    for (let failures = 1; ; failures++) {
      try {
        await mark(commitIds);
        return true;
      } catch (error) {
        onError(error);
        if (signal.aborted) return false;
        await pause(backoffMs(failures, BACKOFF), signal).catch(() => undefined);
      }
    }
  }

  return {
    add(commitIds) {
      if (commitIds.length === 0) return Promise.resolve();
      const { promise, resolve } = Promise.withResolvers<undefined>();
      waiting.push({ commitIds, done: () => resolve(undefined) });
      if (!running) {
        running = true;
        void run();
      }
      return promise;
    },
  };
}
