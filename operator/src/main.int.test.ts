import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import { folderWorld, isReady, startFolderOperator } from './testing/folder-operator.ts';
import { isWorking, spawnOperator } from './testing/operator-process.ts';
import { virtualHost } from './testing/virtual-host.ts';

const events = ['OrderPlaced', 'payment.*'];

async function answers(port: unknown, path: string): Promise<{ status: number; text: string }> {
  const response = await fetch(`http://127.0.0.1:${String(port)}${path}`);
  return { status: response.status, text: await response.text() };
}

test('the process makes what the folder says, answers its probes, and ends in order on SIGTERM', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await using host = virtualHost(broker);
  await world.subscribe('loyalty', { events });
  await using operator = spawnOperator(['--folder', world.folder, '--state', world.state]);
  await eventually(() =>
    operator.log.some(({ msg }) => msg === 'queue shop.loyalty takes order.placed, payment.*'),
  );
  const { port } = operator.log.find((line) => 'port' in line) ?? {};
  expect(await answers(port, '/livez')).toMatchObject({ status: 200 });
  expect(await answers(port, '/readyz')).toMatchObject({ status: 200 });
  expect(await answers(port, '/nothing')).toMatchObject({ status: 404 });
  const { text } = await answers(port, '/metrics');
  expect(text).toContain('warren_broker_up{broker="default"} 1');
  expect(text).toContain(
    'controller_runtime_reconcile_total{controller="eventsubscription",result="success"}',
  );
  expect(await host.keysOf('shop.loyalty')).toEqual(['order.placed', 'payment.*']);

  await world.subscribe('loyalty', { events: [], prefetch: 1 });
  await eventually(() => operator.log.some(({ msg }) => /loyalty\.yaml:\d+: /.test(String(msg))));
  expect(await host.keysOf('shop.loyalty')).toEqual(['order.placed', 'payment.*']);

  expect(await operator.kill('SIGTERM')).toBe('code 0');
  const secret = new URL(broker.amqpUrl).password;
  expect(JSON.stringify(operator.log)).not.toContain(`:${secret}@`);
  expect(operator.output).toBe('');
});

test('killed wherever it is, again and again, the process finishes when it is let', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await using host = virtualHost(broker);
  const names = Array.from({ length: 12 }, (_, index) => `s${index}`);
  for (const name of names) await world.subscribe(name, { events, deletionPolicy: 'Delete' });
  // Each is killed a few objects further than the one before.
  for (const objects of [1, 6, 15, 30]) {
    await using operator = spawnOperator(['--folder', world.folder, '--state', world.state]);
    await eventually(async () => {
      const { queues, bindings } = await host.api.inventory();
      return queues.length + bindings.length >= objects;
    });
    expect(await operator.kill('SIGKILL')).toBe('SIGKILL');
  }
  await using last = await startFolderOperator(world);
  await eventually(() => names.every((name) => isReady(last, name)));
  const { queues, bindings } = await host.api.inventory();
  expect(queues).toHaveLength(24);
  expect(bindings).toHaveLength(36);
  expect(last.told.filter(({ type }) => type === 'Warning')).toEqual([]);
  for (const name of names) await world.unsubscribe(name);
  await eventually(() => last.source.subscriptions.list().length === 0);
  expect((await host.api.inventory()).queues).toEqual([]);
});

test('what cannot be understood, or cannot start, ends with a sentence and its exit code', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  const ended = async (...args: string[]) => {
    await using operator = spawnOperator(args);
    return { code: await operator.ended, says: operator.output + JSON.stringify(operator.log) };
  };
  const usage = await ended('--folder');
  expect(usage.code).toBe('code 2');
  expect(usage.says).toContain('warren: ');
  const missing = await ended('--folder', join(world.folder, 'nowhere'), '--state', world.state);
  expect(missing.code).toBe('code 1');
  expect(missing.says).toContain('is it there?');

  await writeFile(
    join(world.folder, 'bad.yaml'),
    'apiVersion: warren.events/v1alpha1\nkind: EventSubscription\nmetadata: { name: bad }\nspec: { events: [] }\n',
  );
  const invalid = await ended('validate', '-f', world.folder);
  expect(invalid.code).toBe('code 1');
  expect(invalid.says).toMatch(/bad\.yaml:4: spec\.events: Invalid value/);
  const valid = await ended('validate', '-f', join(world.folder, '00-broker.yaml'));
  expect(valid).toMatchObject({ code: 'code 0', says: expect.stringContaining('1 valid resource') });
});

test('a second process on the same port ends at once and says why', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await using first = spawnOperator(['--folder', world.folder, '--state', world.state]);
  await eventually(() => isWorking(first));
  const { port } = first.log.find((line) => 'port' in line) ?? {};
  await using other = await folderWorld(broker);
  await using second = spawnOperator(['--folder', other.folder, '--state', other.state], {
    OPERATOR_PORT: String(port),
  });
  expect(await second.ended).toBe('code 1');
  expect(JSON.stringify(second.log)).toContain(`port ${String(port)} is taken: set OPERATOR_PORT`);
});
