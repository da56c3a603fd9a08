import { expect, test } from '@jest/globals';
import { frontProxyOf, requesterOf } from './front-proxy.ts';
import { createAuthorizer } from './authorizer.ts';

const proxy = {
  authority: 'PEM',
  allowedNames: ['front-proxy-client'],
  usernameHeaders: ['X-Remote-User'],
  groupHeaders: ['X-Remote-Group'],
  extraHeaderPrefixes: ['X-Remote-Extra-'],
};
const headers = {
  'x-remote-user': ['jane'],
  'x-remote-group': ['dev', 'system:authenticated'],
  'x-remote-extra-scopes%2fteam': ['a', 'b'],
};

test('what the API server publishes is read; without an authority there is nobody to believe', () => {
  expect(
    frontProxyOf({
      'requestheader-client-ca-file': 'PEM',
      'requestheader-allowed-names': '["front-proxy-client"]',
      'requestheader-username-headers': '["X-Remote-User"]',
      'requestheader-group-headers': '["X-Remote-Group"]',
      'requestheader-extra-headers-prefix': '["X-Remote-Extra-"]',
    }),
  ).toEqual(proxy);
  expect(frontProxyOf(undefined)).toBeUndefined();
  expect(frontProxyOf({ 'requestheader-username-headers': '["X-Remote-User"]' })).toBeUndefined();
});

test('who asks is believed only from a certificate of an allowed name', () => {
  expect(requesterOf(proxy, 'front-proxy-client', headers)).toEqual({
    user: 'jane',
    groups: ['dev', 'system:authenticated'],
    extra: { 'scopes/team': ['a', 'b'] },
  });
  expect(requesterOf(proxy, undefined, headers)).toBeUndefined();
  expect(requesterOf(proxy, 'somebody', headers)).toBeUndefined();
  expect(requesterOf({ ...proxy, allowedNames: [] }, 'somebody', headers)).toMatchObject({ user: 'jane' });
  expect(requesterOf(proxy, 'front-proxy-client', { 'x-remote-group': ['system:masters'] })).toBeUndefined();
});

test('the API server is asked once for the same thing, for a few seconds; a failure is not held', async () => {
  let now = 0;
  let asked = 0;
  let answer: () => Promise<unknown> = () => Promise.resolve({ status: { allowed: true } });
  const request = () => {
    asked += 1;
    return answer();
  };
  const authorize = createAuthorizer({ request }, { now: () => now });
  const jane = { user: 'jane', groups: [], extra: {} };
  const what = { nonResourceAttributes: { path: '/apis', verb: 'get' } };
  expect(await Promise.all([authorize(jane, what), authorize(jane, what)])).toEqual([true, true]);
  expect(asked).toBe(1);
  await authorize({ ...jane, groups: ['dev'] }, what);
  expect(asked).toBe(2);
  now = 10_000;
  answer = () => Promise.reject(new Error('unreachable'));
  await expect(authorize(jane, what)).rejects.toThrow('unreachable');
  answer = () => Promise.resolve({ status: { allowed: false } });
  expect(await authorize(jane, what)).toBe(false);
});
