/** Starts a process again that has ended by itself, unless that happens too often. */
import type { ManagedProcess } from './managed-process.ts';

/** What is supervised. */
export type Supervised = Pick<ManagedProcess, 'name' | 'start'>;

export interface SupervisorOptions<P extends Supervised> {
  /** Restarts of one process that are too many within `withinMs`. */
  readonly most?: number;
  readonly withinMs?: number;
  /** A process ended and is started again. */
  readonly onRestart: (process: P, count: number) => void;
  /** A process ended once too often; it stays down. */
  readonly onGivenUp: (process: P) => void;
}

export interface Supervisor<P extends Supervised> {
  /** A process ended that was not asked to. Does nothing before `start` and after `stop`. */
  readonly ended: (process: P) => void;
  readonly start: () => void;
  readonly stop: () => void;
}

export function createSupervisor<P extends Supervised>(options: SupervisorOptions<P>): Supervisor<P> {
  const { most = 3, withinMs = 60_000, onRestart, onGivenUp } = options;
  const ends = new Map<string, number[]>();
  let supervises = false;
  return {
    ended: (process) => {
      if (!supervises) return;
      const now = performance.now();
      const recent = [...(ends.get(process.name) ?? []).filter((at) => now - at < withinMs), now];
      ends.set(process.name, recent);
      if (recent.length > most) {
        onGivenUp(process);
        return;
      }
      onRestart(process, recent.length);
      process.start();
    },
    start: () => {
      supervises = true;
    },
    stop: () => {
      supervises = false;
    },
  };
}
