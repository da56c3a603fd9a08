/**
 * What was seen of a subscription's queues over time, as far as scaling needs it. Pure.
 *
 * Observations are totals at one moment; a window is what happened between two of them. A counter that went back (the broker
 * started anew, the queue moved) makes no window: what happened in between is not known.
 */

export interface Observation {
  /** Milliseconds of a clock that only goes on. */
  at: number;
  /** Messages that wait for a consumer. */
  ready: number;
  /** Messages that a consumer has in hand. */
  unacked: number;
  /** Messages that wait for their retry. */
  delayed: number;
  /** Acknowledged so far, since the broker counts. What was put back to be tried again does not count. */
  acked: number;
  /** Delivered anew, or put into a wait queue, so far. */
  retried: number;
  /** Attached to the queue. */
  consumers: number;
  /** Of the workload, as it says. */
  replicas: number;
}

export interface Window {
  seconds: number;
  acked: number;
  retried: number;
  /** What came in: messages. Below 0 where messages left unacknowledged. */
  arrived: number;
  /** Replicas that took messages all the time; undefined where their number changed. */
  draining: number | undefined;
  /** Messages waited at both ends: nobody was idle. */
  busy: boolean;
}

export interface History {
  readonly last?: Observation;
  /** The windows of the last HORIZON_SECONDS, oldest first. */
  readonly recent: readonly Window[];
  /** The last windows in which replicas had as much to do as they can: what they reach. They do not age. */
  readonly busy: readonly Window[];
}

/** What is looked back upon to say what is going on now. */
export const HORIZON_SECONDS = 60;
/** Five minutes of being busy, at one observation in 5 s. */
const BUSY_WINDOWS = 60;
/** Longer ones (nobody looked) average away what is to be seen. */
const LONGEST_WINDOW_SECONDS = 60;

export const NOTHING_SEEN: History = { recent: [], busy: [] };

export const backlogOf = ({ ready, unacked, delayed }: Observation): number => ready + unacked + delayed;

export function observe(history: History, now: Observation): History {
  const window = history.last === undefined ? undefined : windowBetween(history.last, now);
  if (window === undefined) return { last: now, recent: [], busy: history.busy };
  const recent = [...history.recent, window];
  let seconds = recent.reduce((sum, one) => sum + one.seconds, 0);
  while (recent.length > 1 && seconds - (recent[0]?.seconds ?? 0) >= HORIZON_SECONDS)
    seconds -= recent.shift()?.seconds ?? 0;
  const counts = window.busy && window.draining !== undefined && window.draining > 0;
  const busy = credited(history, now);
  return { last: now, recent, busy: counts ? [...busy, window].slice(-BUSY_WINDOWS) : busy };
}

/**
 * The broker counts consumers later than messages: when it tells of more, they had their part in the window before, which
 * without them would make each of the others look faster than it is.
 */
function credited({ last, recent, busy }: History, now: Observation): readonly Window[] {
  const latest = busy.at(-1);
  if (last === undefined || latest === undefined || latest !== recent.at(-1)) return busy;
  const draining = Math.min(last.replicas, now.consumers);
  return draining > (latest.draining ?? 0) ? [...busy.slice(0, -1), { ...latest, draining }] : busy;
}

function windowBetween(before: Observation, now: Observation): Window | undefined {
  const seconds = (now.at - before.at) / 1_000;
  const acked = now.acked - before.acked;
  const retried = now.retried - before.retried;
  if (seconds <= 0 || seconds > LONGEST_WINDOW_SECONDS || acked < 0 || retried < 0) return undefined;
  const steady = before.replicas === now.replicas && before.consumers === now.consumers;
  return {
    seconds,
    acked,
    retried,
    arrived: acked + backlogOf(now) - backlogOf(before),
    // A replica may have several consumers, or none yet.
    draining: steady ? Math.min(now.replicas, now.consumers) : undefined,
    busy: before.ready > 0 && now.ready > 0,
  };
}
