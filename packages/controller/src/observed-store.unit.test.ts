import { expect, test } from '@jest/globals';
import { silentLog } from './log.ts';
import type { Log } from './log.ts';
import type { KubernetesObject } from './object.ts';
import { ObservedStore } from './observed-store.ts';
import { settle } from './testing/virtual-clock.ts';

const thing = (version: number, uid = 'u'): KubernetesObject => ({
  metadata: { name: 'a', uid, resourceVersion: String(version) },
});

function observed() {
  const failures: unknown[] = [];
  const log: Log = { ...silentLog, error: (_fields, text) => failures.push(text) };
  const store = new ObservedStore<KubernetesObject>(log);
  const told: string[] = [];
  const listen = () =>
    store.onChange(({ type, key, stale }) => told.push(`${type} ${key}${stale === true ? ' stale' : ''}`), {
      late: false,
    });
  return { store, failures, told, listen };
}

test('a handler that throws or rejects is logged, and keeps nothing from the others', async () => {
  const { store, failures, told, listen } = observed();
  const handlers = [
    () => {
      throw new Error('handler');
    },
    () => Promise.reject(new Error('async handler')),
  ];
  for (const handler of handlers) store.onChange(handler, { late: false });
  listen();
  store.keep('a', thing(1));
  store.remove('a', thing(2));
  await settle();
  expect(told).toEqual(['added a', 'deleted a']);
  expect(failures).toHaveLength(4);
});

test('the same version of an object is no change, and another object of its name is two', () => {
  const { store, told, listen } = observed();
  listen();
  store.keep('a', thing(1));
  store.keep('a', thing(1));
  store.keep('a', thing(2, 'other'));
  expect(told).toEqual(['added a', 'deleted a stale', 'added a']);
});

test('what was not there when it was removed is nothing to tell of', () => {
  const { store, told, listen } = observed();
  listen();
  store.remove('a', thing(1));
  expect(told).toEqual([]);
});
