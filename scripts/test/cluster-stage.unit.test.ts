import { beforeEach, describe, expect, test } from '@jest/globals';
import { EnvironmentError, silent } from '@warren/environment';
import { BrokenTreeError } from '../images/blame.ts';
import { clusterStage, clusterTests, type ClusterStage } from './cluster-stage.ts';
import type { Run } from './jest-runs.ts';

const files = [
  '/root/test/cluster/shop.cluster.test.ts',
  '/root/test/cluster/backlog.cluster.test.ts',
  '/root/test/cluster/lifetime.cluster.test.ts',
  '/root/packages/rabbitmq/src/link.int.test.ts',
];

test('a run of all tests has the files that its time suffices for, the longest last', () => {
  expect(clusterTests(files, true)).toEqual([
    '/root/test/cluster/lifetime.cluster.test.ts',
    '/root/test/cluster/shop.cluster.test.ts',
  ]);
});

test('who asks for tests on a cluster alone gets all of them, and nobody else a cluster', () => {
  expect(clusterTests(files.slice(0, 2), false)).toHaveLength(2);
  expect(clusterTests(files, false)).toEqual([]);
});

describe('a run of all tests', () => {
  const ran: string[] = [];
  const nothing = { [Symbol.asyncDispose]: () => Promise.resolve() };
  const stage = (change: Partial<ClusterStage>) =>
    clusterStage({
      files: ['one', 'other'],
      all: true,
      runs: {
        run: ({ options }) => {
          ran.push(options.at(-1) ?? '');
          return Promise.resolve();
        },
      },
      report: silent,
      signal: new AbortController().signal,
      on: { lacking: () => Promise.resolve([]), cluster: () => Promise.resolve(nothing) },
      ...change,
    });
  const failing = (error: Error) => ({
    on: { lacking: () => Promise.resolve([]), cluster: () => Promise.reject(error) },
  });
  beforeEach(() => {
    delete process.env['WARREN_TEST_CLUSTER'];
    ran.length = 0;
  });

  test('runs one file after the other', async () => {
    expect(await stage({})).toBeUndefined();
    expect(ran).toEqual(['one', 'other']);
  });

  test('says what is missing where no cluster can be made', async () => {
    const on = { lacking: () => Promise.resolve(['root']), cluster: () => Promise.reject(new Error()) };
    expect(await stage({ on })).toMatchObject({
      files: ['one', 'other'],
      why: expect.stringMatching(/: root$/),
    });
  });

  test('is not failed by what a correct tree can meet on a machine, but by what is wrong in the tree', async () => {
    const refused = new EnvironmentError('WARREN_ENVIRONMENT_BUILD', 'a download was refused');
    expect(await stage(failing(refused))).toEqual({ files: ['one', 'other'], why: refused.message });
    const full = Object.assign(new Error('no space left'), { code: 'ENOSPC', syscall: 'write' });
    expect(await stage(failing(full))).toMatchObject({ why: 'no space left' });
    await expect(stage(failing(new TypeError('x is not a function')))).rejects.toThrow(TypeError);
    const broken = new BrokenTreeError('building: buildah ended with 2');
    await expect(stage(failing(broken))).rejects.toThrow(broken);
  });

  test('leaves what its time does not suffice for', async () => {
    const run = ({ options, limit }: Run) =>
      options.at(-1) === 'one'
        ? Promise.resolve()
        : new Promise<void>((_, reject) => {
            limit?.addEventListener('abort', () => reject(limit.reason as Error));
          });
    expect(await stage({ runs: { run }, limitMs: 1 })).toMatchObject({ files: ['other'] });
  });

  test('ends when it is told to', async () => {
    const signal = AbortSignal.abort(new Error('ended by SIGINT'));
    await expect(stage({ ...failing(new Error('anything')), signal })).rejects.toThrow('ended by SIGINT');
  });
});
