/**
 * Keys that become due later: a binary heap by due time under one timer.
 *
 * A key is here at most once, at the earlier of its times and the higher of its priorities. Replaced entries stay in
 * the heap as tombstones until they are due or outnumber the living.
 */
import type { Clock } from './clock.ts';

interface Entry {
  key: string;
  dueAt: number;
  priority: number;
  dead: boolean;
}

export class DelayedKeys {
  readonly #clock: Clock;
  readonly #due: (key: string, priority: number) => void;
  readonly #entries = new Map<string, Entry>();
  #heap: Entry[] = [];
  #timer: { at: number; cancel: () => void } | undefined;

  constructor(clock: Clock, due: (key: string, priority: number) => void) {
    this.#clock = clock;
    this.#due = due;
  }

  get size(): number {
    return this.#entries.size;
  }

  add(key: string, afterMs: number, priority: number): void {
    const dueAt = this.#clock.now() + afterMs;
    const known = this.#entries.get(key);
    if (known !== undefined) {
      known.priority = Math.max(known.priority, priority);
      if (known.dueAt <= dueAt) return;
      priority = known.priority;
      known.dead = true;
    }
    const entry = { key, dueAt, priority, dead: false };
    this.#entries.set(key, entry);
    this.#push(entry);
    this.#arm();
  }

  /** Takes a key out before it is due; its priority, if it was here. */
  take(key: string): number | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    entry.dead = true;
    this.#entries.delete(key);
    if (this.#heap.length > 64 && this.#heap.length > 2 * this.#entries.size) this.#compact();
    return entry.priority;
  }

  clear(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#entries.clear();
    this.#heap = [];
  }

  #fire(): void {
    this.#timer = undefined;
    const now = this.#clock.now();
    for (let head = this.#heap[0]; head !== undefined; head = this.#heap[0]) {
      if (!head.dead && head.dueAt > now) break;
      this.#pop();
      if (head.dead) continue;
      this.#entries.delete(head.key);
      this.#due(head.key, head.priority);
    }
    this.#arm();
  }

  #arm(): void {
    const head = this.#heap[0];
    if (head === undefined || (this.#timer !== undefined && this.#timer.at <= head.dueAt)) return;
    this.#timer?.cancel();
    // Node's timers may fire a fraction of a millisecond early: round up, or they would fire twice.
    const wait = Math.ceil(head.dueAt - this.#clock.now());
    this.#timer = { at: head.dueAt, cancel: this.#clock.after(wait, () => this.#fire()) };
  }

  #compact(): void {
    const living = this.#heap.filter((entry) => !entry.dead);
    this.#heap = [];
    for (const entry of living) this.#push(entry);
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up];
      if (parent === undefined || parent.dueAt <= entry.dueAt) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      const left = heap[2 * at + 1];
      const right = heap[2 * at + 2];
      const useRight = right !== undefined && left !== undefined && right.dueAt < left.dueAt;
      const child = useRight ? right : left;
      if (child === undefined || child.dueAt >= last.dueAt) break;
      heap[at] = child;
      at = 2 * at + (useRight ? 2 : 1);
    }
    heap[at] = last;
  }
}
