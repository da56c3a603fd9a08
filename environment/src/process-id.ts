/**
 * Which process was meant. A process id alone is reused by the kernel; together with the time of its start it is not.
 */
import { readFileSync } from 'node:fs';

export interface ProcessId {
  pid: number;
  /** Clock ticks from boot to the start of the process, as `/proc/<pid>/stat` has it; '' where there is no /proc. */
  startTime: string;
}

/** The process that has this id now, or undefined where none has. */
export function processNow(pid: number): ProcessId | undefined {
  try {
    const startTime = startTimeOf(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    return startTime === undefined ? undefined : { pid, startTime };
  } catch {
    return hasProc() ? undefined : signalled(pid);
  }
}

/** Whether the recorded process still runs: the same id, and started at the same time. */
export function isRunning(
  recorded: ProcessId,
  now: (pid: number) => ProcessId | undefined = processNow,
): boolean {
  return now(recorded.pid)?.startTime === recorded.startTime;
}

/** Field 22 of a stat line; undefined for a zombie, which has ended. The name in field 2 may hold spaces and brackets. */
export function startTimeOf(stat: string): string | undefined {
  const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return state === 'Z' || state === 'X' ? undefined : fields[18];
}

export const thisProcess = (): ProcessId => processNow(process.pid) ?? { pid: process.pid, startTime: '' };

/** Sends SIGKILL to the recorded process if it still runs. Gives back whether it did. */
export function end(recorded: ProcessId): boolean {
  if (!isRunning(recorded)) return false;
  try {
    process.kill(recorded.pid, 'SIGKILL');
    return true;
  } catch {
    return false;
  }
}

function hasProc(): boolean {
  try {
    readFileSync('/proc/self/stat');
    return true;
  } catch {
    return false;
  }
}

function signalled(pid: number): ProcessId | undefined {
  try {
    process.kill(pid, 0);
    return { pid, startTime: '' };
  } catch {
    return undefined;
  }
}
