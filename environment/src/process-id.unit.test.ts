import { describe, expect, test } from '@jest/globals';
import { isRunning, startTimeOf } from './process-id.ts';
import { stale } from './run-folder.ts';

const stat = (name: string, state: string) =>
  `4711 (${name}) ${state} 1 4711 4711 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 987654 8409088 800 1844674407`;

describe('the start time in a stat line', () => {
  test('is found also where the name looks like other fields', () => {
    expect(startTimeOf(stat('node', 'S'))).toBe('987654');
    expect(startTimeOf(stat('a) S 1 (b', 'R'))).toBe('987654');
  });

  test('is not given for a process that has ended and only waits to be collected', () => {
    expect(startTimeOf(stat('node', 'Z'))).toBeUndefined();
  });
});

describe('a recorded process', () => {
  const recorded = { pid: 10, startTime: '500' };

  test('runs when its id and its start are the same', () => {
    expect(isRunning(recorded, (pid) => ({ pid, startTime: '500' }))).toBe(true);
  });

  test('does not run when its id is gone, or belongs to a younger process', () => {
    expect(isRunning(recorded, () => undefined)).toBe(false);
    expect(isRunning(recorded, (pid) => ({ pid, startTime: '501' }))).toBe(false);
  });
});

describe('what a killed run has left', () => {
  const owner = { pid: 1, startTime: '1' };
  const left = { name: 'rabbitmq', pid: 2, startTime: '2' };
  const gone = { name: 'etcd', pid: 3, startTime: '3' };
  const running =
    (...pids: number[]) =>
    ({ pid }: { pid: number }) =>
      pids.includes(pid);

  test('is what it recorded and still runs', () => {
    expect(stale({ owner, processes: [left, gone] }, running(2))).toEqual([left]);
  });

  test('is nothing while its owner runs: the processes are in use', () => {
    expect(stale({ owner, processes: [left, gone] }, running(1, 2))).toEqual([]);
  });
});
