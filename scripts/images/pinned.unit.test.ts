import { expect, test } from '@jest/globals';
import { chartValues, insistOnDigests, workspaces, type Values } from './pinned.ts';

const digest = `sha256:${'0123456789abcdef'.repeat(4)}`;
const all = () => new Map([...workspaces().keys()].map((name) => [name, digest]));

test('an image that the registry told no digest of is in no values', () => {
  const digests = all();
  digests.delete('order');
  digests.set('user', '');
  expect(() => chartValues('registry.example', digests)).toThrow(
    'no digest is given for the image of order, user',
  );
});

test('values without a digest are seen, also where a later one takes it away', () => {
  const own: Values = { warren: { replicas: 3 }, shop: { services: { order: { replicas: 4 } } } };
  const pinned = chartValues('registry.example', all());
  expect(() => insistOnDigests([own, pinned])).not.toThrow();
  expect(() => insistOnDigests([pinned, own])).not.toThrow();
  expect(() => insistOnDigests([own])).toThrow(/^no digest is given for the image of operator, event-log, /);
  const without: Values = { warren: { image: { digest: null } }, shop: {} };
  expect(() => insistOnDigests([pinned, without])).toThrow('no digest is given for the image of operator');
});
