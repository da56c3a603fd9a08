import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { REMEMBER_MS } from './inbox.ts';

test('a message is remembered for longer than a subscription may keep it as a dead letter', () => {
  const crd = join(import.meta.dirname, '../../../charts/warren/crds/eventsubscriptions.yaml');
  const [, days] = /RabbitMQ keeps a message for at most (\d+)d/.exec(readFileSync(crd, 'utf8')) ?? [];
  expect(REMEMBER_MS).toBeGreaterThan(Number(days) * 24 * 60 * 60 * 1000);
});
