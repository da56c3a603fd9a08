import { expect, test } from '@jest/globals';
import { parseCommand } from '../cli.ts';
import { safeJson } from './safe-text.ts';

test('files, folders and the standard input are given by -f, or alone', () => {
  expect(parseCommand(['plan', '-f', 'a.yaml', '-f', '-', 'dir', '-n', 'shop', '-o', 'json'])).toEqual({
    command: 'plan',
    files: ['a.yaml', '-', 'dir'],
    namespace: 'shop',
    prune: false,
    output: 'json',
    offline: false,
  });
  expect(parseCommand(['plan', 'a.yaml', '--state', '.local'])).toMatchObject({
    offline: true,
    state: '.local',
  });
  expect(parseCommand(['plan', '--help'])).toEqual({ command: 'help' });
});

test.each([
  [['plan'], 'plan what?'],
  [['plan', '-f', 'a', '-o', 'yaml'], '--output is text or json, not "yaml"'],
  [['plan', '-f', '-', '-f', '-'], 'give - once'],
  [['plan', '-f', 'a', '--apply'], "Unknown option '--apply'"],
])('%j is not understood, and the message says what would be', (args, sentence) => {
  expect(() => parseCommand(args)).toThrow(sentence);
});

test('JSON is the same value, with nothing in it that a terminal would obey', () => {
  const value = { name: 'a\u001b[31m\u009b\u202e\u2028b', list: [1, null] };
  const text = safeJson(value, 2);
  // eslint-disable-next-line no-control-regex
  expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u202e]/);
  expect(JSON.parse(text)).toEqual(value);
});
