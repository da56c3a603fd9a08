/**
 * The life of an operator: the sources of all controllers list and watch from the start, on standbys too; the workers
 * start with the leadership (or at once, without an election); a signal stops everything in order.
 *
 * `run` resolves when the signal aborted and everything has stopped, or has had its time, and rejects when a controller cannot
 * start or the leadership is lost (LeadershipLostError): then end the process and let it be started again.
 */
import { aborted } from './clock.ts';
import type { Controller } from './controller.ts';
import { LeadershipLostError } from './errors.ts';
import type { Lead, LeaderElector } from './leader-election.ts';
import { describeError, silentLog } from './log.ts';
import type { Log } from './log.ts';

export interface ManagerOptions {
  controllers: Controller[];
  election?: LeaderElector;
  /** For what is being reconciled to finish; default 30,000. */
  shutdownDeadlineMs?: number;
  log?: Log;
}

export interface Manager {
  /** Everything has been listed: what a readiness probe asks, of leader and standby alike. */
  readonly synced: boolean;
  run(signal: AbortSignal): Promise<void>;
}

/** How long what still runs may take to notice that the lease is lost. */
const LOST_DEADLINE_MS = 2000;

export function createManager({
  controllers,
  election,
  shutdownDeadlineMs = 30_000,
  log = silentLog,
}: ManagerOptions): Manager {
  const stopAll = async () => {
    const options = { deadlineMs: shutdownDeadlineMs };
    const ends = await Promise.all(controllers.map((controller) => controller.stop(options)));
    const clean = ends.every((end) => end.clean);
    if (!clean) log.warn({}, 'not everything ended within the deadline');
    return { clean };
  };

  const dropAll = () => {
    for (const controller of controllers) void controller.stop({ abort: true, deadlineMs: LOST_DEADLINE_MS });
  };

  return {
    get synced() {
      return controllers.every((controller) => controller.synced);
    },
    run: async (signal) => {
      // A standby that cannot list is no standby: its failure ends the campaign.
      const failing = new AbortController();
      const either = AbortSignal.any([signal, failing.signal]);
      let failure: { error: unknown } | undefined;
      const fail = (error: unknown) => {
        if (either.aborted) return;
        failure = { error };
        log.error(describeError(error), 'a controller could not start');
        failing.abort();
      };
      const syncing = Promise.all(controllers.map((controller) => controller.sync())).catch(fail);
      const lead: Lead = async (leading, lost) => {
        // Also while everything is being stopped in order.
        lost.addEventListener('abort', dropAll, { once: true });
        Promise.all(controllers.map((controller) => controller.start())).catch(fail);
        await aborted(leading);
        return stopAll();
      };
      try {
        if (election === undefined) await lead(either, new AbortController().signal);
        else if ((await election.run({ lead, signal: either })) === 'lost') {
          throw new LeadershipLostError('the leadership is lost');
        }
      } finally {
        await stopAll();
        await syncing;
      }
      // Set in a callback, which the compiler does not see.
      const failed = failure as { error: unknown } | undefined;
      if (failed !== undefined) throw failed.error;
    },
  };
}

/** A signal that aborts on SIGTERM and SIGINT; a second one ends the process at once. `release` lets go of them. */
export function shutdownSignal(signals: NodeJS.Signals[] = ['SIGTERM', 'SIGINT']): {
  signal: AbortSignal;
  release: () => void;
} {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) process.exit(1);
    controller.abort();
  };
  for (const name of signals) process.on(name, stop);
  return { signal: controller.signal, release: () => signals.forEach((name) => process.off(name, stop)) };
}
