import { expect, test } from '@jest/globals';
import { pinnedVersion } from './go.ts';

test('a version is read from where it is pinned, and the nodes of a cluster have that of its API server', () => {
  const version = pinnedVersion('kubernetes', 'k8s.io/kubernetes');
  expect(version).toMatch(/^v1\.\d+\.\d+$/);
  expect(pinnedVersion('node', 'k8s.io/kubernetes')).toBe(version);
});

test('what a module does not require has no version', () => {
  expect(() => pinnedVersion('kubernetes', 'example.org/nothing')).toThrow(
    'environment/go/kubernetes/go.mod requires no example.org/nothing',
  );
});
