/**
 * Leader election by a Lease, by the rules of client-go, so that both can compete for the same lease:
 *
 * - The holder renews every `retryPeriodMs` (2 s). When it has not succeeded for `renewDeadlineMs` (10 s), or sees another
 *   holder, it has lost. Others take the lease over `leaseDurationMs` (15 s) after they last saw it change.
 * - "Last saw" is on their own monotonic clock. No clock is compared with another machine's, so neither skew nor a jump
 *   of the wall clock makes two leaders. The times in the Lease are for people.
 * - A renewal counts from before it was sent, so an answer that comes late does not prolong it.
 * - Writes are guarded by resource version: of two that take an expired lease one gets it.
 *
 * Other than client-go, a leader that is told to stop keeps renewing until `lead` has ended, and only then releases: the
 * next leader does not begin beside the last one's unfinished work. Where something still runs the lease is left to expire.
 */
import { sleep, systemClock } from './clock.ts';
import type { Clock } from './clock.ts';
import type { Cluster } from './cluster.ts';
import { KubernetesError, LeadershipLostError, StoppedError } from './errors.ts';
import { describeError, silentLog } from './log.ts';
import type { Log } from './log.ts';
import type { ElectionObserver } from './metrics.ts';
import { resources } from './object.ts';
import type { KubernetesObject } from './object.ts';
import type { CallOptions, ResourceClient } from './resource-client.ts';

export interface LeaderElectorOptions {
  cluster: Pick<Cluster, 'resource'>;
  /** Of the Lease. */
  namespace: string;
  name: string;
  /** Unique for this process: the pod's name, or host and a random part. */
  identity: string;
  leaseDurationMs?: number;
  renewDeadlineMs?: number;
  retryPeriodMs?: number;
  /** Called with the holder's identity whenever another one is seen, this process included. */
  onNewLeader?: (identity: string) => void;
  observer?: ElectionObserver;
  log?: Log;
  clock?: Clock;
}

/** `stopped`: the signal aborted. `lost`: the lease is lost. `finished`: `lead` ended by itself. */
export type ElectionEnd = 'stopped' | 'lost' | 'finished';

export interface LeaderElector {
  readonly identity: string;
  /** Is it certain that nobody else leads? False as soon as the lease could have expired, whatever was noticed so far. */
  readonly isLeader: boolean;
  /** Who leads, as far as it is known. */
  readonly leader: string | undefined;
  /** Waits until this process leads, calls `lead`, and ends with it. Rejects with what `lead` rejects with. */
  run(options: { lead: Lead; signal: AbortSignal }): Promise<ElectionEnd>;
}

/**
 * `signal` aborts when the lease is lost or the leader is to stop (StoppedError: finish in order); `lost` when the lease is
 * lost (LeadershipLostError: drop everything), also while everything is being finished. `clean`: nothing was left running, so
 * the lease may be released.
 */
export type Lead = (signal: AbortSignal, lost: AbortSignal) => Promise<{ clean: boolean }>;

interface LeaseSpec {
  holderIdentity?: string | null;
  leaseDurationSeconds?: number;
  acquireTime?: string;
  renewTime?: string;
  leaseTransitions?: number;
}

type Lease = KubernetesObject & { spec?: LeaseSpec };

export function createLeaderElector(options: LeaderElectorOptions): LeaderElector {
  return new LeaseElector(options);
}

class LeaseElector implements LeaderElector {
  readonly identity: string;
  readonly #leases: ResourceClient<Lease>;
  readonly #options: LeaderElectorOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #durationMs: number;
  readonly #deadlineMs: number;
  readonly #periodMs: number;
  #seen: { lease: Lease; record: string; at: number } | undefined;
  #renewedAt = -Infinity;
  #leading = false;
  #told: string | undefined;

  constructor(options: LeaderElectorOptions) {
    this.#options = options;
    this.identity = options.identity;
    this.#clock = options.clock ?? systemClock;
    this.#durationMs = options.leaseDurationMs ?? 15_000;
    this.#deadlineMs = options.renewDeadlineMs ?? 10_000;
    this.#periodMs = options.retryPeriodMs ?? 2000;
    if (!(this.#durationMs > this.#deadlineMs && this.#deadlineMs > this.#periodMs * 1.2)) {
      throw new RangeError('leader election needs leaseDurationMs > renewDeadlineMs > 1.2 x retryPeriodMs');
    }
    if (options.identity === '') throw new RangeError('leader election needs an identity');
    this.#leases = options.cluster.resource<Lease>(resources.leases);
    this.#log = (options.log ?? silentLog).child({
      lease: `${options.namespace}/${options.name}`,
      identity: options.identity,
    });
  }

  get isLeader(): boolean {
    return this.#leading && this.#clock.now() - this.#renewedAt < this.#durationMs;
  }

  get leader(): string | undefined {
    const holder = this.#seen?.lease.spec?.holderIdentity;
    return holder === undefined || holder === null || holder === '' ? undefined : holder;
  }

  async run({ lead, signal }: { lead: Lead; signal: AbortSignal }): Promise<ElectionEnd> {
    this.#options.observer?.leading(this.#options.name, false);
    if (!(await this.#campaign(signal))) return 'stopped';
    this.#leading = true;
    this.#options.observer?.leading(this.#options.name, true);
    this.#log.info({}, 'this process leads now');

    const leading = new AbortController();
    const lost = new AbortController();
    const over = new AbortController();
    const stop = () => leading.abort(new StoppedError('the leader is being stopped'));
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
    const renewing = this.#renew(over.signal).then((reason) => {
      if (reason === undefined) return;
      this.#resign();
      this.#log.error({ reason }, 'the lease is lost');
      const { namespace, name } = this.#options;
      const error = new LeadershipLostError(`the lease ${namespace}/${name} is lost: ${reason}`);
      lost.abort(error);
      leading.abort(error);
    });
    let clean = false;
    try {
      ({ clean } = await lead(leading.signal, lost.signal));
    } finally {
      signal.removeEventListener('abort', stop);
      over.abort();
      await renewing;
      if (this.isLeader && clean) await this.#release();
      else if (this.isLeader) this.#log.warn({}, 'not everything has ended: the lease is left to expire');
      this.#resign();
    }
    if (lost.signal.aborted) return 'lost';
    return signal.aborted ? 'stopped' : 'finished';
  }

  /** Until this process holds the lease (true) or the signal aborts (false). */
  async #campaign(signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      const got = await this.#tryAcquireOrRenew(this.#deadlineMs / 2, signal);
      if (got === 'held') return true;
      await sleep(this.#clock, this.#periodMs * (1 + Math.random() * 1.2), signal);
    }
    return false;
  }

  /** Until the signal aborts (undefined) or the lease is lost (why). */
  async #renew(signal: AbortSignal): Promise<string | undefined> {
    for (;;) {
      // After a failure the next look is in `retryPeriodMs`, or when the deadline is, whichever is first.
      const rest = this.#renewedAt + this.#deadlineMs - this.#clock.now();
      await sleep(this.#clock, Math.min(this.#periodMs, rest), signal);
      if (signal.aborted) return undefined;
      const left = this.#renewedAt + this.#deadlineMs - this.#clock.now();
      if (left <= 0) return 'it could not be renewed in time';
      if ((await this.#renewWithin(left)) === 'other') return `${this.leader ?? 'somebody else'} holds it`;
    }
  }

  /** However long the client takes: who may lead no more must know. */
  async #renewWithin(ms: number): Promise<'held' | 'other' | 'failed'> {
    const attempt = new AbortController();
    const late = sleep(this.#clock, ms, attempt.signal).then(() => 'failed' as const);
    try {
      return await Promise.race([
        this.#tryAcquireOrRenew(Math.min(ms, this.#deadlineMs / 2), attempt.signal),
        late,
      ]);
    } finally {
      attempt.abort();
    }
  }

  async #tryAcquireOrRenew(
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<'held' | 'other' | 'failed'> {
    const call = { timeoutMs, attempts: 1, urgent: true, signal };
    const until = this.#clock.now() + timeoutMs;
    const left = () => ({ ...call, timeoutMs: Math.max(1, until - this.#clock.now()) });
    try {
      // The holder need not read what it wrote: if somebody else has written since, this conflicts.
      if (this.#leading && this.#seen !== undefined && this.leader === this.identity) {
        try {
          return await this.#write(this.#seen.lease, call);
        } catch (error) {
          if (!(error instanceof KubernetesError)) throw error;
          this.#log.debug(describeError(error), 'the lease must be read before it is renewed');
        }
      }
      const lease = await this.#leases.find(this.#options, left());
      if (lease === undefined) return await this.#write(undefined, left());
      this.#see(lease);
      const holder = this.leader;
      if (holder !== undefined && holder !== this.identity && !this.#expired()) return 'other';
      return await this.#write(lease, left());
    } catch (error) {
      if (signal?.aborted !== true)
        this.#log.info(describeError(error), 'the lease could not be acquired or renewed');
      return 'failed';
    }
  }

  async #write(lease: Lease | undefined, call: CallOptions): Promise<'held'> {
    const at = this.#clock.now();
    const now = microTime(this.#clock.date());
    const before = lease?.spec ?? {};
    const mine = before.holderIdentity === this.identity;
    const { namespace, name } = this.#options;
    const wanted: Lease = {
      ...lease,
      metadata: lease?.metadata ?? { namespace, name },
      spec: {
        ...before,
        holderIdentity: this.identity,
        leaseDurationSeconds: Math.ceil(this.#durationMs / 1000),
        acquireTime: mine ? (before.acquireTime ?? now) : now,
        renewTime: now,
        leaseTransitions: (before.leaseTransitions ?? 0) + (mine || lease === undefined ? 0 : 1),
      },
    };
    const written =
      lease === undefined
        ? await this.#leases.create(wanted, call)
        : await this.#leases.replace(wanted, call);
    this.#renewedAt = at;
    this.#see(written);
    return 'held';
  }

  /** Only a change of the record itself starts the observed time anew, not one of labels. */
  #see(lease: Lease): void {
    const record = JSON.stringify(lease.spec ?? {});
    if (this.#seen?.record === record) this.#seen.lease = lease;
    else this.#seen = { lease, record, at: this.#clock.now() };
    const { leader } = this;
    if (leader === undefined || leader === this.#told) return;
    this.#told = leader;
    this.#log.info({ leader }, 'there is a new leader');
    try {
      this.#options.onNewLeader?.(leader);
    } catch (error) {
      this.#log.error(describeError(error), 'onNewLeader failed');
    }
  }

  #expired(): boolean {
    if (this.#seen === undefined) return true;
    const seconds = this.#seen.lease.spec?.leaseDurationSeconds ?? 0;
    return this.#seen.at + seconds * 1000 <= this.#clock.now();
  }

  #resign(): void {
    if (!this.#leading) return;
    this.#leading = false;
    this.#options.observer?.leading(this.#options.name, false);
  }

  /** Lets the next one begin at once. Should it fail, the lease expires. */
  async #release(): Promise<void> {
    const call = { timeoutMs: this.#deadlineMs / 2, attempts: 2, urgent: true };
    try {
      const lease = await this.#leases.find(this.#options, call);
      if (lease?.spec?.holderIdentity !== this.identity) return;
      const now = microTime(this.#clock.date());
      const spec = {
        ...lease.spec,
        holderIdentity: '',
        leaseDurationSeconds: 1,
        acquireTime: now,
        renewTime: now,
      };
      this.#see(await this.#leases.replace({ ...lease, spec }, call));
      this.#log.info({}, 'the lease is released');
    } catch (error) {
      this.#log.warn(describeError(error), 'the lease could not be released and will expire');
    }
  }
}

/** Kubernetes' MicroTime has six decimals, and a server that is strict about it. */
export function microTime(date: Date): string {
  return date.toISOString().replace('Z', '000Z');
}
