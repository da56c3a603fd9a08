/**
 * How many replicas a subscription needs. Pure: this is the whole rule, and its property tests are beside it.
 *
 *   need = (arrivals a second + backlog / drainWithin) / what one replica handles a second
 *   backlog = ready + unacked + waiting for retry
 *
 * - What a replica handles is measured while messages wait, so that nobody is idle. Until it is known, nothing is guessed:
 *   the number stays, but for the first replica, which anything that waits is reason enough for.
 * - What is not known is not zero: without the broker's numbers the answer is "stay put".
 * - Messages that go round (delivered again as often as acknowledged) are no reason for more replicas.
 * - Fewer replicas only where they suffice with a margin, so that a number that just suffices does not swing. The engine
 *   waits on top of that (behaviour.ts).
 */
import { maxConsumers, parseDuration } from '@warren/topology';
import type { EventSubscriptionSpec } from '@warren/topology';
import { backlogOf, HORIZON_SECONDS } from './observation.ts';
import type { History, Window } from './observation.ts';

export interface Limits {
  min: number;
  /** Not below min: replicas that stand by are the user's wish. */
  max: number;
  drainWithinSeconds: number;
  /** Why there may not be more, where it is not maxReplicas. */
  boundBy?: 'Strict' | 'Partitions';
}

export type Reason =
  /** The broker does not tell what is needed. */
  | 'StatisticsMissing'
  /** The workload is not there, or does not say how many replicas it has. */
  | 'ConsumerMissing'
  /** Nothing waits, and nothing came for a while, or there are as few as there may be. */
  | 'Idle'
  /** Messages wait, and there is no replica. */
  | 'Waking'
  /** What a replica handles is not known yet. */
  | 'Measuring'
  /** There are replicas, and none takes messages. */
  | 'NotConsuming'
  /** Messages go round instead of getting done. */
  | 'Retrying'
  /** As many as the messages need. */
  | 'Demand';

export interface Demand {
  /** Undefined: stay put, whatever there is. */
  replicas: number | undefined;
  reason: Reason;
  /** One sentence. */
  message: string;
}

/** A smaller number must suffice with this much to spare. */
const MARGIN = 1.2;
/** RabbitMQ counts every 5 s: over less, a count may be of one tick or of two. */
const MEASURED_SECONDS = 10;
const MEASURED_ACKS = 3;
const MEASURED_AT_LAST_SECONDS = 60;

export function limitsOf({ scaling, delivery, queue }: EventSubscriptionSpec): Limits | undefined {
  if (scaling === undefined) return undefined;
  const { minReplicas: min, maxReplicas } = scaling;
  const drainWithinSeconds = Math.max(1, parseDuration(scaling.drainWithin) / 1_000);
  const isOneAtATime = delivery.ordering === 'Strict' || queue.type === 'stream';
  const useful = isOneAtATime ? 1 : maxConsumers({ delivery });
  const max = Math.max(min, Math.min(maxReplicas, useful));
  return {
    min,
    max,
    drainWithinSeconds,
    ...(useful >= maxReplicas ? {} : { boundBy: isOneAtATime ? 'Strict' : 'Partitions' }),
  };
}

/** Of a history that ends with an observation. */
export function demandOf(history: History, limits: Limits): Demand {
  const { last } = history;
  if (last === undefined) return unknown('StatisticsMissing', 'the broker has not been asked yet');
  const { replicas, consumers } = last;
  const backlog = backlogOf(last);
  const bounded = (wanted: number) => Math.min(limits.max, Math.max(limits.min, wanted));
  const answer = (wanted: number, reason: Reason, why: string): Demand => {
    const number = bounded(wanted);
    return { replicas: number, reason, message: `${count(number, 'replica')}: ${why}` };
  };

  if (backlog === 0 && (replicas <= limits.min || replicas === 0 || isQuiet(history)))
    return answer(0, 'Idle', 'nothing waits, and nothing came lately');
  const rate = rateOf(history.busy);
  if (replicas === 0 && rate === undefined)
    return answer(1, 'Waking', 'messages wait, and there is no replica');
  if (replicas > 0 && backlog > 0 && consumers === 0)
    return answer(
      replicas,
      'NotConsuming',
      'messages wait, and none of the replicas has a consumer attached',
    );
  if (rate === undefined) {
    const spare = last.ready === 0 && looksSpare(history);
    return spare
      ? answer(Math.max(1, replicas - 1), 'Measuring', 'nothing ever waited: one fewer may do')
      : answer(replicas, 'Measuring', 'what one replica handles is not known yet');
  }
  const arrivals = median(history.recent.map(({ arrived, seconds }) => arrived / seconds));
  const perSecond = Math.max(0, arrivals);
  // A message cannot be shared, so more replicas than there are messages while they drain are of no use.
  const useful = Math.ceil(backlog + perSecond * limits.drainWithinSeconds);
  const need = Math.min((perSecond + backlog / limits.drainWithinSeconds) / rate, useful);
  const wanted = Math.max(1, ceil(need));
  if (wanted > Math.max(1, replicas) && goesRound(history.recent))
    return answer(
      Math.max(1, replicas),
      'Retrying',
      'as many messages are tried again as get done: more replicas would not help',
    );
  const why = describe(backlog, perSecond, rate, limits);
  if (wanted >= replicas) return answer(wanted, 'Demand', why);
  return answer(Math.min(replicas, Math.max(1, ceil(need * MARGIN))), 'Demand', why);
}

/**
 * Whether what was told before a start of the operator may still be so: there was no time yet to measure anything, and what is
 * seen does not say otherwise. `told` is of this very spec.
 */
export function isUnrefuted(told: Demand, history: History, limits: Limits): boolean {
  if (seenLongEnough(history.recent) || demandOf(history, limits).reason !== 'Measuring') return false;
  if (told.replicas === undefined) return false;
  const isIdle = history.last !== undefined && backlogOf(history.last) === 0;
  return told.reason === 'Demand' || told.reason === 'Retrying' || (told.reason === 'Idle' && isIdle);
}

export function unknown(reason: Reason, message: string): Demand {
  return { replicas: undefined, reason, message: `the replicas stay as they are: ${message}` };
}

/** Messages a second that one replica gets done while there is enough to do. */
function rateOf(busy: readonly Window[]): number | undefined {
  const seconds = sum(busy.map((one) => one.seconds));
  const acked = sum(busy.map((one) => one.acked));
  const measured =
    (seconds >= MEASURED_SECONDS && acked >= MEASURED_ACKS) ||
    (seconds >= MEASURED_AT_LAST_SECONDS && acked > 0);
  if (!measured) return undefined;
  return acked / sum(busy.map((one) => one.seconds * (one.draining ?? 0)));
}

/** Long enough to believe that nothing comes. */
function isQuiet({ recent }: History): boolean {
  return (
    seenLongEnough(recent) &&
    recent.every(({ acked, retried, arrived }) => acked + retried === 0 && arrived <= 0)
  );
}

function looksSpare({ recent }: History): boolean {
  return seenLongEnough(recent) && recent.every(({ busy, retried }) => !busy && retried === 0);
}

function seenLongEnough(recent: readonly Window[]): boolean {
  return sum(recent.map(({ seconds }) => seconds)) >= HORIZON_SECONDS;
}

function goesRound(recent: readonly Window[]): boolean {
  const retried = sum(recent.map((one) => one.retried));
  return retried > 0 && retried >= sum(recent.map((one) => one.acked));
}

function describe(backlog: number, perSecond: number, rate: number, limits: Limits): string {
  const { drainWithinSeconds, boundBy, max } = limits;
  const bound =
    boundBy === 'Strict'
      ? '; one consumes at a time'
      : boundBy === 'Partitions'
        ? `; there are ${max} partitions`
        : '';
  return (
    `${count(backlog, 'message')} to handle within ${drainWithinSeconds} s and ${round(perSecond)} a second more, ` +
    `at ${round(rate)} a second for each replica${bound}`
  );
}

/** A hair above a whole number is that number: the rate is a quotient. */
const ceil = (value: number): number => Math.ceil(value - 1e-9);
const sum = (values: readonly number[]): number => values.reduce((total, one) => total + one, 0);
const round = (value: number): string =>
  String(value >= 10 ? Math.round(value) : Math.round(value * 100) / 100);
const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? '' : 's'}`;

function median(values: readonly number[]): number {
  if (values.length === 0) return 0;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low = 0, high = 0] = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[middle]];
  return (low + high) / 2;
}
