import { expect, test } from '@jest/globals';
import { silentLog } from './log.ts';
import type { Log } from './log.ts';
import type { KubernetesObject } from './object.ts';
import { ObservedStore } from './observed-store.ts';
import type { Indexer } from './store.ts';
import { settle } from './testing/virtual-clock.ts';

type Thing = KubernetesObject & { spec?: { a: { b: string } } };

const thing = (version: number, uid = 'u', b?: string): Thing => ({
  metadata: { name: 'a', uid, resourceVersion: String(version) },
  ...(b === undefined ? {} : { spec: { a: { b } } }),
});

function observed(indexes?: Record<string, Indexer<Thing>>) {
  const failures: unknown[] = [];
  const log: Log = { ...silentLog, error: (_fields, text) => failures.push(text) };
  const store = new ObservedStore<Thing>(log, indexes);
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

test('an index that throws is logged, keeps no change from the handlers, and files the object when it can', () => {
  const { store, failures, told, listen } = observed({
    unsafe: ({ spec }) => [spec!.a.b],
    version: ({ metadata }) => [metadata.resourceVersion!],
  });
  listen();
  store.keep('a', thing(1));
  store.keep('a', thing(2));
  store.remove('a', thing(3));
  store.keep('a', thing(4));
  expect([...store.by('version', '4')]).toEqual(['a']);
  expect(failures).toHaveLength(3);
  store.keep('a', thing(5, 'u', 'x'));
  expect([...store.by('unsafe', 'x')]).toEqual(['a']);
  store.keep('a', thing(6));
  expect([...store.by('unsafe', 'x')]).toEqual([]);
  expect(told).toEqual(['added a', 'updated a', 'deleted a', 'added a', 'updated a', 'updated a']);
});

test('what was filed is taken out of an index that has changed its mind', () => {
  let value = 'before';
  const { store } = observed({ moody: () => [value] });
  store.keep('a', thing(1));
  value = 'after';
  store.remove('a', thing(2));
  expect([...store.by('moody', 'before')]).toEqual([]);
});
