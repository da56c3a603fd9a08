import { inspect } from 'node:util';
import { expect, jest, test } from '@jest/globals';
import type { Change, KubernetesObject } from '@warren/controller';
import { OwnWrites } from './own-writes.ts';

interface Secret extends KubernetesObject {
  data?: Record<string, string>;
}

const owner = (name: string) => ({
  apiVersion: 'warren.events/v1alpha1',
  kind: 'EventSubscription',
  name,
  uid: `uid-of-${name}`,
  controller: true,
});

const secret = (data: Record<string, string>, owners = [owner('loyalty')]): Secret => ({
  metadata: { name: 'loyalty-binding', namespace: 'shop', ownerReferences: owners },
  data,
});

function change(object: Secret, type: Change<Secret>['type'] = 'updated'): Change<Secret> {
  return { type, key: 'shop/loyalty-binding', object, initial: false };
}

const succeed = () => Promise.resolve('written');

test('what was written is own, once, told while it is written or after, in whatever order its keys are', async () => {
  const writes = new OwnWrites<Secret>();
  const told = await writes.write(secret({ a: 'MQ==', b: 'Mg==' }), () =>
    Promise.resolve(writes.isOwn(change(secret({ b: 'Mg==', a: 'MQ==' }), 'added'))),
  );
  expect(told).toBe(true);
  expect(writes.isOwn(change(secret({ a: 'MQ==', b: 'Mg==' })))).toBe(false);
  await writes.write(secret({ a: 'MQ==' }), succeed);
  expect(writes.isOwn(change(secret({ a: 'MQ==' })))).toBe(true);
});

test('other data, and other owners of the same data, are news', async () => {
  const writes = new OwnWrites<Secret>();
  await writes.write(secret({ a: 'MQ==' }), succeed);
  expect(writes.isOwn(change(secret({ a: 'Mg==' })))).toBe(false);
  await writes.write(secret({ a: 'MQ==' }), succeed);
  expect(writes.isOwn(change(secret({ a: 'MQ==' }, [owner('loyalty'), owner('payment')])))).toBe(false);
});

test('a write that failed is forgotten: the same by somebody else is news', async () => {
  const writes = new OwnWrites<Secret>();
  const failing = writes.write(secret({ a: 'MQ==' }), () => Promise.reject(new Error('refused')));
  await expect(failing).rejects.toThrow('refused');
  expect(writes.isOwn(change(secret({ a: 'MQ==' })))).toBe(false);
});

test('a failed write does not take along what was written after it', async () => {
  const writes = new OwnWrites<Secret>();
  const refused = Promise.withResolvers<string>();
  const failing = writes.write(secret({ a: 'MQ==' }), () => refused.promise);
  await writes.write(secret({ a: 'Mg==' }), succeed);
  refused.reject(new Error('refused'));
  await expect(failing).rejects.toThrow('refused');
  expect(writes.isOwn(change(secret({ a: 'Mg==' })))).toBe(true);
});

test('a deletion is news and forgets what was written: the same made again by somebody else is news too', async () => {
  const writes = new OwnWrites<Secret>();
  await writes.write(secret({ a: 'MQ==' }), succeed);
  expect(writes.isOwn(change(secret({ a: 'MQ==' }), 'deleted'))).toBe(false);
  expect(writes.isOwn(change(secret({ a: 'MQ==' }), 'added'))).toBe(false);
});

test('what was written is not kept in memory', async () => {
  const kept = jest.spyOn(Map.prototype, 'set');
  try {
    await new OwnWrites<Secret>().write(secret({ password: 'c2VjcmV0' }), succeed);
    expect(kept).toHaveBeenCalledWith('shop/loyalty-binding', expect.anything());
    expect(inspect(kept.mock.calls, { depth: null })).not.toContain('c2VjcmV0');
  } finally {
    kept.mockRestore();
  }
});
