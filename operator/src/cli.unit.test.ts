import { expect, test } from '@jest/globals';
import { parseCommand } from './cli.ts';
import { readableLine } from './log.ts';
import { readSettings } from './settings.ts';

test('the folder and the cluster are two ways to run', () => {
  expect(parseCommand(['--folder', 'k8s/samples'])).toEqual({
    command: 'run',
    source: { mode: 'folder', folder: 'k8s/samples', state: '.local' },
    workers: 64,
    resyncMs: 15_000,
  });
  expect(parseCommand(['--kubernetes', '--namespace', 'shop', '--resync', '5'])).toMatchObject({
    source: { mode: 'kubernetes', namespace: 'shop' },
    resyncMs: 5_000,
  });
  expect(parseCommand(['validate', '-f', 'a.yaml', 'b'])).toEqual({
    command: 'validate',
    files: ['a.yaml', 'b'],
  });
  expect(parseCommand(['--help', '--folder', 'x'])).toEqual({ command: 'help' });
});

test.each([
  [[], 'Give --folder DIR or --kubernetes'],
  [['--folder', 'x', '--kubernetes'], 'exclude each other'],
  [['frobnicate'], 'there is no command "frobnicate"'],
  [['validate'], 'validate what?'],
  [['--folder', 'x', '--resync', '60'], '--resync takes a whole number from 1 to 30, not "60"'],
  [['--folder', 'x', '--workers', 'many'], '--workers takes a whole number'],
  [['--fold', 'x'], "Unknown option '--fold'"],
])('%j is not understood, and the message says what would be', (args, sentence) => {
  expect(() => parseCommand(args)).toThrow(sentence);
});

test('settings have defaults, and a bad one is named', () => {
  expect(readSettings({})).toMatchObject({ port: 3_000, logLevel: 'info', abandonAfterMs: 600_000 });
  expect(readSettings({ OPERATOR_PORT: '0', WARREN_ABANDON_AFTER_S: '5' })).toMatchObject({
    port: 0,
    abandonAfterMs: 5_000,
  });
  expect(() => readSettings({ OPERATOR_PORT: 'http' })).toThrow(
    'OPERATOR_PORT is a whole number from 0 to 65535, not "http"',
  );
  expect(() => readSettings({ LOG_LEVEL: 'loud' })).toThrow('LOG_LEVEL is one of debug, info, warn, error');
});

test('a line of the log is readable at a terminal', () => {
  const json =
    '{"level":40,"time":"2026-01-01T16:20:01.000Z","subscription":"shop/a","n":1,"msg":"queue is missing"}';
  expect(readableLine(json)).toBe('16:20:01 WARN  queue is missing  subscription=shop/a n=1');
});
