import { expect, test } from '@jest/globals';
import { EnvironmentError } from '@warren/environment';
import { clusterTests, isOfTheMachine } from './cluster-stage.ts';

const files = [
  '/root/test/cluster/shop.cluster.test.ts',
  '/root/test/cluster/rolling.cluster.test.ts',
  '/root/test/cluster/lifetime.cluster.test.ts',
  '/root/packages/rabbitmq/src/link.int.test.ts',
];

test('a run of all tests has the files that do not take long', () => {
  expect(clusterTests(files, true)).toEqual([
    '/root/test/cluster/lifetime.cluster.test.ts',
    '/root/test/cluster/shop.cluster.test.ts',
  ]);
});

test('who asks for tests on a cluster alone gets all of them, and nobody else a cluster', () => {
  expect(clusterTests(files.slice(0, 2), false)).toHaveLength(2);
  expect(clusterTests(files, false)).toEqual([]);
});

test('what a correct tree can meet on a machine is told from what is wrong in the tree', () => {
  expect(isOfTheMachine(new EnvironmentError('WARREN_ENVIRONMENT_BUILD', 'a download was refused'))).toBe(
    true,
  );
  expect(
    isOfTheMachine(Object.assign(new Error('no space left'), { code: 'ENOSPC', syscall: 'write' })),
  ).toBe(true);
  expect(isOfTheMachine(new TypeError('x is not a function'))).toBe(false);
});
