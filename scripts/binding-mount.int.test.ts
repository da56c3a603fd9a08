import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { eventually, testKubernetes } from '@warren/environment/testing';
import { mountBindings } from './binding-mount.ts';
import { kubectlFor } from './cluster.ts';

test('bindings lie in a folder as in a pod: made, changed and taken away with their Secrets, and no other Secret', async () => {
  const { kubeconfig } = await testKubernetes();
  const kubectl = kubectlFor(kubeconfig);
  const namespace = `mount-${process.pid}-${Date.now().toString(36)}`;
  const folder = await mkdtemp(join(tmpdir(), 'warren-mount-'));
  const root = join(folder, 'bindings');
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  await kubectl(['create', 'namespace', namespace]);
  stack.defer(async () => {
    await kubectl(['delete', 'namespace', namespace, '--wait=false']);
  });
  const apply = (name: string, labels: object, stringData: object) =>
    kubectl(
      ['apply', '-f', '-'],
      JSON.stringify({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace, labels }, stringData }),
    );
  const file = (...path: string[]) => readFile(join(root, ...path), 'utf8').catch(() => undefined);

  const labels = { 'warren.events/binding': 'loyalty' };
  await apply('other', {}, { uri: 'amqp://not-for-you' });
  await apply('loyalty-binding', labels, { uri: 'amqp://one', queue: 'shop.loyalty' });
  stack.use(await mountBindings({ kubeconfig, namespace, root }));
  await eventually(async () => (await file('loyalty', 'uri')) === 'amqp://one');
  expect(await file('loyalty', 'queue')).toBe('shop.loyalty');

  await apply('loyalty-binding', labels, { uri: 'amqp://two', queue: 'shop.loyalty' });
  await eventually(async () => (await file('loyalty', 'uri')) === 'amqp://two');
  expect(await readdir(root)).toEqual(['loyalty']);

  await kubectl(['delete', 'secret', '-n', namespace, 'loyalty-binding']);
  await eventually(async () => (await readdir(root)).length === 0);
});
