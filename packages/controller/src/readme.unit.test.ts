import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { Registry } from 'prom-client';
import * as errors from './errors.ts';
import { createMetrics } from './metrics.ts';

const readme = await readFile(join(import.meta.dirname, '../README.md'), 'utf8');

test('the README shows the example that readme.int.test.ts runs', async () => {
  const example = await readFile(join(import.meta.dirname, 'readme.int.test.ts'), 'utf8');
  const [, marked = ''] = /\/\/ README begins\n([^]*?) *\/\/ README ends/.exec(example) ?? [];
  expect(marked).not.toBe('');
  expect(readme).toContain(marked.replaceAll(/^ {2}/gm, ''));
});

test('the README names every metric with its labels', async () => {
  const registry = new Registry();
  createMetrics(registry);
  const metrics = (await registry.getMetricsAsJSON()).map(({ name }) => name);
  expect(metrics.length).toBeGreaterThan(20);
  expect(metrics.filter((name) => !readme.includes(`\`${name}\``))).toEqual([]);
});

test('the README names every error with its code', () => {
  const codes = Object.values(errors).flatMap((one: unknown) => {
    if (typeof one !== 'function' || !(one.prototype instanceof Error)) return [];
    const make = one as new (message: string, failed: errors.FailedRequest) => Error & { code: string };
    const error = new make('x', { status: 0, request: 'x' });
    return [`| \`${error.name}\` | \`${error.code}\` |`];
  });
  expect(codes.length).toBeGreaterThan(15);
  expect(codes.filter((row) => !readme.replaceAll(/ +/g, ' ').includes(row))).toEqual([]);
});
