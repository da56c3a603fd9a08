import { expect, test } from '@jest/globals';
import { readable } from './managed-process.ts';

test.each([
  ['a line of its own', 'a line of its own'],
  ['{"level":"info","msg":"listening"}', 'info listening'],
  ['{"level":"error","msg":"it broke","err":{"message":"no mailbox"}}', 'error it broke: no mailbox'],
  ['order: {"type":"SettingsError","message":"PORT is wrong"}', 'PORT is wrong'],
  ['{ not JSON', '{ not JSON'],
])('%j is shown as %j', (line, shown) => {
  expect(readable(line)).toBe(shown);
});

test('a line that goes on and on is cut', () => {
  expect(readable('x'.repeat(1000))).toHaveLength(400);
});
