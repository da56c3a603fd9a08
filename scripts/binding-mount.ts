/**
 * Writes the binding Secrets of a namespace into a folder, as the kubelet does for a pod that mounts them: one folder a
 * subscription or publisher, one file a key, followed for as long as it runs. It stands in for pods where there are none.
 */
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { createCluster, createReflector, resources } from '@warren/controller';
import type { KubernetesObject } from '@warren/controller';

/** The operator labels each binding with the name of whose it is. */
const LABEL = 'warren.events/binding';

interface Secret extends KubernetesObject {
  data?: Record<string, string>;
}

/** Fills `<root>/<subscription>/<key>` until it is disposed; what is there already goes first. */
export async function mountBindings(options: {
  kubeconfig: string;
  namespace: string;
  root: string;
}): Promise<AsyncDisposable> {
  const { kubeconfig, namespace, root } = options;
  await rm(root, { recursive: true, force: true });
  await mkdir(root, { recursive: true, mode: 0o700 });
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromFile(kubeconfig);
  const cluster = createCluster({ kubeConfig, fieldManager: 'warren-start' });
  const secrets = createReflector<Secret>({
    resource: cluster.resource<Secret>(resources.secrets),
    namespace,
    labelSelector: LABEL,
  });
  // One after the other: a later state must not be overtaken by an earlier one.
  let work = Promise.resolve();
  secrets.onChange(({ type, object }) => {
    work = work
      .then(() => (type === 'deleted' ? remove(root, object) : write(root, object)))
      .catch(() => undefined);
  });
  secrets.start();
  return {
    [Symbol.asyncDispose]: async () => {
      await secrets.stop();
      await work;
      await cluster.close();
    },
  };
}

function folderOf(root: string, { metadata }: Secret): string {
  return join(root, metadata.labels?.[LABEL] ?? metadata.name);
}

/** A whole new folder takes the place of the old one, so that nobody reads half of each. */
async function write(root: string, secret: Secret): Promise<void> {
  const folder = folderOf(root, secret);
  const draft = join(root, `..${secret.metadata.name}`);
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { mode: 0o700 });
  for (const [key, value] of Object.entries(secret.data ?? {})) {
    await writeFile(join(draft, key), Buffer.from(value, 'base64'), { mode: 0o600 });
  }
  await rm(folder, { recursive: true, force: true });
  await rename(draft, folder);
}

async function remove(root: string, secret: Secret): Promise<void> {
  await rm(folderOf(root, secret), { recursive: true, force: true });
}
