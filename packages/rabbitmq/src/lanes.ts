/**
 * The queues of one subscription, each consumed by itself: one lane, or one for each partition (ordering PerKey).
 *
 * Every replica consumes every partition; the broker lets one of them be active at each (single active consumer). Who that is,
 * priorities decide (RabbitMQ 4.0): each replica prefers the partitions in a random order of its own. So replicas that know
 * nothing of each other share the partitions out about evenly, and one that joins takes over its share, each partition when
 * the one before it has settled what it had in hand. Before 4.0 whoever was there first keeps them all until it goes.
 */
import { ClosedError, RabbitError } from './errors.ts';
import type { Consumer } from './consumer.ts';
import type { ConsumerSettings } from '@warren/topology';
import { deferred, type Deferred } from './timing.ts';

export interface Lane {
  settings: ConsumerSettings;
  /** Among the consumers of its queue. */
  priority?: number;
}

/** One queue's consumer; as Consumer says. */
export interface LaneConsumer extends Pick<Consumer, 'start' | 'isConsuming' | 'running'> {
  /** One call at a time. */
  stop(deadlineMs: number): Promise<void>;
}

/** Told when a lane begins or ceases to consume. */
export type LaneListener = () => void;

/** The lanes of a subscription. The prefetch is for all of them together. */
export function lanesOf(settings: ConsumerSettings, random: () => number = Math.random): Lane[] {
  const { partitions, ...rest } = settings;
  if (partitions === undefined) return [{ settings }];
  const priorities = shuffled(partitions.length, random);
  const prefetch = Math.max(1, Math.ceil(settings.prefetch / partitions.length));
  return partitions.map((queue, index) => ({
    settings: { ...rest, queue, prefetch, strict: true },
    priority: priorities[index] ?? 1,
  }));
}

/** 1 to n, in a random order. */
function shuffled(n: number, random: () => number): number[] {
  const numbers = Array.from({ length: n }, (_, index) => index + 1);
  for (let last = n - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1));
    [numbers[last], numbers[other]] = [numbers[other] ?? 0, numbers[last] ?? 0];
  }
  return numbers;
}

export class Lanes implements Consumer {
  readonly #make: (lane: Lane, listener: LaneListener) => LaneConsumer;
  readonly #told: (consuming: boolean) => void;
  readonly #ended: (left: number) => Promise<void>;
  #lanes: LaneConsumer[];
  #updates = 0;
  #isStarted = false;
  #wasConsuming = false;
  #waiters: Deferred<void> | undefined;
  #stopping: Promise<void> | undefined;

  /**
   * @param told when all of them consume, and when they do not any more
   * @param ended when all of them have stopped; gets the milliseconds that are left
   */
  constructor(
    settings: ConsumerSettings,
    make: (lane: Lane, listener: LaneListener) => LaneConsumer,
    told: (consuming: boolean) => void,
    ended: (left: number) => Promise<void>,
  ) {
    this.#make = make;
    this.#told = told;
    this.#ended = ended;
    this.#lanes = this.#made(settings);
  }

  get isConsuming(): boolean {
    return this.#lanes.every((lane) => lane.isConsuming);
  }

  get running(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.running, 0);
  }

  consuming(): Promise<void> {
    if (this.isConsuming) return Promise.resolve();
    this.#waiters ??= deferred();
    return this.#waiters.promise;
  }

  start(): void {
    if (this.#stopping !== undefined) {
      throw new RabbitError('WARREN_CLOSED', 'the consumer is stopping: await stop(), then start it again');
    }
    for (const lane of this.#lanes) lane.start();
    this.#isStarted = true;
  }

  stop({ deadlineMs }: { deadlineMs?: number } = {}): Promise<void> {
    this.#isStarted = false;
    return this.#halt(deadlineMs);
  }

  async update(settings: ConsumerSettings, { deadlineMs }: { deadlineMs?: number } = {}): Promise<void> {
    this.#updates += 1;
    const update = this.#updates;
    await this.#halt(deadlineMs);
    if (this.#updates !== update) return; // the settings of a later call are taken over
    this.#lanes = this.#made(settings);
    if (this.#isStarted) this.start();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #made(settings: ConsumerSettings): LaneConsumer[] {
    return lanesOf(settings).map((lane) => this.#make(lane, () => this.#changed()));
  }

  #halt(deadlineMs = 30_000): Promise<void> {
    this.#stopping ??= this.#stop(deadlineMs).finally(() => (this.#stopping = undefined));
    return this.#stopping;
  }

  async #stop(deadlineMs: number): Promise<void> {
    const deadline = performance.now() + deadlineMs;
    await Promise.all(this.#lanes.map((lane) => lane.stop(deadlineMs)));
    await this.#ended(Math.max(0, deadline - performance.now()));
    this.#waiters?.promise.catch(() => undefined);
    this.#waiters?.reject(new ClosedError('the consumer'));
    this.#waiters = undefined;
  }

  #changed(): void {
    const { isConsuming } = this;
    if (isConsuming === this.#wasConsuming) return;
    this.#wasConsuming = isConsuming;
    if (isConsuming) {
      this.#waiters?.resolve();
      this.#waiters = undefined;
    }
    this.#told(isConsuming);
  }
}
