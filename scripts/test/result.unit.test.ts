import { describe, expect, test } from '@jest/globals';
import { countsOf, failedFiles, failedTests, withSecondTry, type JestResult } from './result.ts';

type File = [name: string, ...statuses: string[]];

function ran(...files: File[]): JestResult {
  const all = files.flatMap(([, ...statuses]) => statuses);
  const count = (...wanted: string[]) => all.filter((status) => wanted.includes(status)).length;
  return {
    numPassedTests: count('passed'),
    numFailedTests: count('failed'),
    numRuntimeErrorTestSuites: files.filter(([, ...statuses]) => statuses.length === 0).length,
    numPendingTests: count('pending'),
    numTodoTests: count('todo'),
    testResults: files.map(([name, ...statuses]) => ({
      name: `/root/${name}`,
      status: statuses.length === 0 || statuses.includes('failed') ? 'failed' : 'passed',
      assertionResults: statuses.map((status, at) => ({ fullName: `test ${at}`, status })),
    })),
  };
}

const first = ran(
  ['right.int.test.ts', 'passed', 'pending'],
  ['shaky.int.test.ts', 'passed', 'failed', 'pending'],
  ['unreadable.int.test.ts'],
);

test('a file that cannot be run counts as a failed test', () => {
  expect(countsOf(first)).toEqual({ passed: 2, failed: 2, skipped: 2 });
  expect(failedFiles(first)).toEqual(['/root/shaky.int.test.ts', '/root/unreadable.int.test.ts']);
  expect(failedTests(first, '/root')).toEqual(['shaky.int.test.ts: test 1', 'unreadable.int.test.ts']);
});

describe('a second try', () => {
  test('counts each test of the failed files once, as it ended the second time', () => {
    const second = ran(
      ['shaky.int.test.ts', 'passed', 'passed', 'pending'],
      ['unreadable.int.test.ts', 'passed'],
    );
    expect(withSecondTry(first, second)).toEqual({ passed: 4, failed: 0, skipped: 2 });
  });

  test('does not help a test that fails again', () => {
    const second = ran(['shaky.int.test.ts', 'passed', 'failed', 'pending'], ['unreadable.int.test.ts']);
    expect(withSecondTry(first, second)).toEqual(countsOf(first));
  });
});
