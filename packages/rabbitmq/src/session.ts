/**
 * The deliveries of one channel, from arrival to settlement. A session dies with its channel and never settles
 * anything afterwards: the broker gives the messages out again.
 *
 *   arrived ──▶ waiting ──▶ running ──▶ finished ─────────▶ acknowledged   (prefix by `multiple`, once per turn)
 *                  │           │  └────▶ putting aside ───▶ acknowledged   (wait queue or dead letter, confirmed)
 *                  │           │              └─ failed ──▶ rejected       (stays in the queue)
 *                  │           └───────▶ rejected                          (broker's delayed retry)
 *                  └─ release() ───────▶ returned                          (never started)
 *
 * Where the order is kept (strict) nothing is given back by itself, since newer messages would be ahead of it then: what fails
 * is held in its place until its next attempt, and what is not finished goes back with the channel.
 */
import type { Channel, ConsumeMessage } from 'amqplib';
import type { Lease } from './channel.ts';
import { asError, DeliveryLostError, HandlerTimeoutError } from './errors.ts';
import { attemptOf, fateOf, type AsideFate } from './failure.ts';
import { Fifo } from './fifo.ts';
import type { HeldBack } from './held-back.ts';
import { Context, type HandlerContext, type Job } from './job.ts';
import { headerNames, type Delivery, type MessageProperties } from './message.ts';
import { safely, type ConsumerObserver, type Outcome } from './observer.ts';
import type { ConsumerSettings } from '@warren/topology';
import { Settlement, type SettlementOptions } from './settlement.ts';
import { deferred, sleep, type Deferred } from './timing.ts';

export type { HandlerContext } from './job.ts';

export type Handler = (delivery: Delivery, context: HandlerContext) => Promise<void>;

export interface SessionOptions extends SettlementOptions {
  settings: ConsumerSettings;
  handle: Handler;
  concurrency: number;
  handlerTimeoutMs: number;
  observer: ConsumerObserver;
  /** Confirmed publishing to a wait queue or to the dead letters. */
  putAside(fate: AsideFate, delivery: Delivery, error: unknown): Promise<void>;
  /** Handlers that run at the moment, those of earlier sessions included: the bulkhead is the consumer's. */
  running: { count: number };
  /** Where the order is kept: the message that failed last. */
  held: HeldBack;
  /** A place became free. */
  onFree(): void;
}

/** A message that could not be put aside is held this long before it goes back: no hot loop on a broken broker. */
const REQUEUE_DELAY_MS = 1_000;

export class Session {
  readonly lease: Lease<Channel>;
  readonly #options: SessionOptions;
  readonly #settlement: Settlement;
  readonly #waiting = new Fifo<ConsumeMessage>();
  /** In the order of starting, so the first one is always the first to time out. */
  readonly #jobs = new Set<Job>();
  readonly #ended = new AbortController();
  #aside = 0;
  #releasing = false;
  #timeout: NodeJS.Timeout | undefined;
  #idle: Deferred<void> | undefined;
  /** Ends the wait of a message that is held in its place. */
  #letGo: (() => void) | undefined;

  constructor(lease: Lease<Channel>, options: SessionOptions) {
    this.lease = lease;
    this.#options = options;
    this.#settlement = new Settlement(lease, options);
  }

  deliver(message: ConsumeMessage): void {
    this.#settlement.arrived(message);
    if (this.#releasing) this.#settlement.giveBack(message);
    else {
      this.#waiting.push(message);
      this.fill();
    }
  }

  /** What needs no handling. */
  skip(message: ConsumeMessage): void {
    this.#settlement.arrived(message);
    this.#settlement.skip(message);
  }

  /** Nothing more is to be delivered to it. */
  get isReleasing(): boolean {
    return this.#releasing;
  }

  /** Starts what may start now. */
  fill(): void {
    const { running, concurrency } = this.#options;
    while (running.count < concurrency && this.lease.alive && !this.#releasing) {
      const message = this.#waiting.shift();
      if (message === undefined) return;
      const waitMs = this.#isInPlace ? this.#options.held.waitMs(keyOf(message)) : 0;
      if (waitMs > 0) this.#hold(message, waitMs);
      else this.#start(message);
    }
  }

  /** Starts nothing more and returns what was not started; it costs these messages no attempt. */
  release(): void {
    this.#releasing = true;
    this.#settlement.hurry();
    this.#letGo?.();
    for (const message of this.#waiting.takeAll()) this.#settlement.giveBack(message);
  }

  /** Resolves when nothing is running or being put aside. */
  idle(): Promise<void> {
    if (this.#isIdle()) return Promise.resolve();
    this.#idle ??= deferred();
    return this.#idle.promise;
  }

  /** Sends every acknowledgement that is due. */
  flush(): void {
    this.#settlement.flush();
  }

  /** Gives up what still runs and returns its messages, at no cost of an attempt where the broker can tell (4.3). */
  interrupt(reason: Error): void {
    for (const job of [...this.#jobs.values()]) {
      job.context.abort(reason);
      this.#settlement.giveBack(job.message);
      this.#finish(job, 'requeued', reason);
      this.#freeLater(job);
    }
  }

  /** The channel is over: every handler's signal is aborted, nothing is settled from here on. */
  end(reason: Error): void {
    if (this.#ended.signal.aborted) return;
    this.#ended.abort();
    this.#releasing = true;
    this.#letGo?.();
    this.#waiting.takeAll();
    this.#settlement.end();
    const lost = new DeliveryLostError(reason);
    for (const job of [...this.#jobs.values()]) {
      job.context.abort(lost);
      this.#finish(job, 'lost', lost);
      this.#freeLater(job);
    }
    this.#idle?.resolve();
  }

  #start(message: ConsumeMessage): void {
    const { settings, handle, handlerTimeoutMs, observer, running, held } = this.#options;
    const { headers } = message.properties as MessageProperties;
    const attempt = this.#isInPlace ? held.attemptOf(keyOf(message)) : attemptOf(settings, headers);
    const delivery = deliveryOf(message, settings, attempt);
    const now = performance.now();
    const job: Job = {
      message,
      delivery,
      startedAt: now,
      deadline: now + handlerTimeoutMs,
      context: new Context(),
      occupies: true,
      freeing: undefined,
    };
    this.#jobs.add(job);
    running.count += 1;
    this.#timeout ??= setTimeout(() => this.#expire(), handlerTimeoutMs);
    safely(() => observer.onStart?.(delivery));
    let work: Promise<void>;
    try {
      work = Promise.resolve(handle(delivery, job.context));
    } catch (error) {
      work = Promise.reject(asError(error));
    }
    // a job that is no longer in #jobs was timed out, interrupted or lost: its result comes too late
    work.then(
      () => {
        if (this.#jobs.has(job)) {
          this.#acknowledge(job.message);
          this.#finish(job, 'acked');
        }
        this.#free(job);
      },
      (error: unknown) => {
        if (this.#jobs.has(job)) this.#fail(job, error);
        this.#free(job);
      },
    );
  }

  /** The handler failed, or took too long. */
  #fail(job: Job, error: unknown): void {
    const fate = fateOf(this.#options.settings, job.delivery.attempt, error);
    if (fate.kind === 'reject') {
      this.#settlement.reject(job.message);
      this.#finish(job, 'retried', error);
      return;
    }
    if (fate.kind === 'hold') {
      const { message, delivery } = job;
      this.#options.held.failed(keyOf(message), delivery.attempt, fate.delayMs);
      this.#hold(message, fate.delayMs);
      this.#finish(job, 'retried', error);
      return;
    }
    this.#aside += 1;
    this.#leave(job);
    const leavePlace = this.#isInOrder ? this.#keepPlace() : () => undefined;
    void this.#putAside(job, fate, error).then((outcome) => {
      this.#aside -= 1;
      leavePlace();
      this.#report(job, outcome, error);
      this.#checkIdle();
    });
  }

  /** The message keeps its place, and nothing behind it starts, until its next attempt. */
  #hold(message: ConsumeMessage, delayMs: number): void {
    if (this.#releasing) return; // it goes back with the channel
    const leavePlace = this.#keepPlace();
    const timer = setTimeout(() => {
      this.#letGo = undefined;
      this.#start(message);
      leavePlace();
    }, delayMs);
    this.#letGo = () => {
      this.#letGo = undefined;
      clearTimeout(timer);
      leavePlace();
    };
  }

  #keepPlace(): () => void {
    this.#options.running.count += 1;
    return () => {
      this.#options.running.count -= 1;
      this.#options.onFree();
    };
  }

  get #isInOrder(): boolean {
    return this.#options.settings.strict;
  }

  get #isInPlace(): boolean {
    return this.#options.settings.retry.mode === 'in-place';
  }

  async #putAside(job: Job, fate: AsideFate, error: unknown): Promise<Outcome> {
    for (;;) {
      try {
        await this.#options.putAside(fate, job.delivery, error);
        break;
      } catch {
        await sleep(this.#releasing ? 0 : REQUEUE_DELAY_MS, this.#ended.signal);
        if (this.#isInOrder && !this.#releasing) continue;
        if (!this.#isInOrder) this.#settlement.reject(job.message);
        return this.lease.alive ? 'requeued' : 'lost';
      }
    }
    this.#acknowledge(job.message);
    return this.lease.alive ? (fate.kind === 'wait' ? 'retried' : 'dead-lettered') : 'lost';
  }

  #acknowledge(message: ConsumeMessage): void {
    this.#options.held.forget(keyOf(message));
    this.#settlement.acknowledge(message);
  }

  #expire(): void {
    this.#timeout = undefined;
    const now = performance.now();
    for (const job of this.#jobs) {
      if (job.deadline > now) {
        clearTimeout(this.#timeout);
        this.#timeout = setTimeout(() => this.#expire(), job.deadline - now);
        return;
      }
      const error = new HandlerTimeoutError(this.#options.handlerTimeoutMs);
      job.context.abort(error);
      this.#fail(job, error);
      this.#free(job);
    }
  }

  #finish(job: Job, outcome: Outcome, error?: unknown): void {
    this.#leave(job);
    this.#report(job, outcome, error);
    this.#checkIdle();
  }

  #leave(job: Job): void {
    this.#jobs.delete(job);
    if (this.#jobs.size > 0) return;
    clearTimeout(this.#timeout);
    this.#timeout = undefined;
  }

  #free(job: Job): void {
    clearTimeout(job.freeing);
    if (!job.occupies) return;
    job.occupies = false;
    this.#options.running.count -= 1;
    this.#options.onFree();
  }

  /** The handler was told to stop; one that does not listen keeps its place until its time is over. */
  #freeLater(job: Job): void {
    job.freeing = setTimeout(() => this.#free(job), Math.max(0, job.deadline - performance.now()));
    job.freeing.unref();
  }

  #report(job: Job, outcome: Outcome, error: unknown): void {
    const settled = { delivery: job.delivery, outcome, durationMs: performance.now() - job.startedAt };
    safely(() => this.#options.observer.onSettled?.(error === undefined ? settled : { ...settled, error }));
  }

  #isIdle(): boolean {
    return this.#jobs.size === 0 && this.#aside === 0;
  }

  #checkIdle(): void {
    if (this.#isIdle()) this.#idle?.resolve();
  }
}

/** By its source and its id it is known again after its channel was lost; without an id only as this very delivery. */
function keyOf(message: ConsumeMessage): unknown {
  const { appId = '', messageId } = message.properties as MessageProperties;
  return messageId === undefined ? message : `${appId} ${messageId}`;
}

function deliveryOf(message: ConsumeMessage, settings: ConsumerSettings, attempt: number): Delivery {
  const { fields, content } = message;
  const properties = message.properties as MessageProperties;
  const { headers } = properties;
  const originally = (name: string, now: string): string => {
    const before = headers?.[name];
    return typeof before === 'string' ? before : now;
  };
  return {
    content,
    properties,
    routingKey: originally(headerNames.originalRoutingKey, fields.routingKey),
    exchange: originally(headerNames.originalExchange, fields.exchange),
    queue: settings.queue,
    attempt,
    redelivered: fields.redelivered,
  };
}
