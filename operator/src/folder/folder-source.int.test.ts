/** A real folder, edited as people and editors do. */
import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { silentLog } from '@warren/controller';
import { eventually } from '@warren/environment/testing';
import { parse } from 'yaml';
import { FINALIZER } from '../resources.ts';
import type { SubscriptionResource } from '../resources.ts';
import { loadValidators } from '../validation/crd.ts';
import { FolderSource } from './folder-source.ts';
import type { FolderSourceOptions } from './folder-source.ts';

const crds = join(import.meta.dirname, '..', '..', '..', 'charts', 'warren', 'crds');
const validators = loadValidators(
  ['eventsubscriptions.yaml', 'eventbrokers.yaml'].map((name) => join(crds, name)),
);

let root: string;
let folder: string;
let state: string;
const opened: FolderSource[] = [];

beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'warren-folder-')));
  [folder, state] = [join(root, 'resources'), join(root, 'state')];
  await mkdir(folder);
});

afterEach(async () => {
  await Promise.all(opened.splice(0).map((source) => source.close()));
  await rm(root, { recursive: true, force: true });
});

async function open(options: Partial<FolderSourceOptions> = {}): Promise<FolderSource> {
  const source = await FolderSource.open({
    folder,
    state,
    validators,
    log: silentLog,
    quietMs: 5,
    removedAfterMs: 60,
    ...options,
  });
  opened.push(source);
  return source;
}

const subscription = (
  name: string,
  prefetch = 50,
  event = 'OrderPlaced',
) => `apiVersion: warren.events/v1alpha1
kind: EventSubscription
metadata: { name: ${name}, namespace: shop }
spec:
  events: [${event}]
  delivery: { prefetch: ${prefetch} }
`;
const write = (file: string, text: string) => writeFile(join(folder, file), text);
const prefetchOf = (source: FolderSource, name = 'loyalty') =>
  source.subscriptions.get(`shop/${name}`)?.spec.delivery.prefetch;
const given = (source: FolderSource, name = 'loyalty'): SubscriptionResource => {
  const resource = source.subscriptions.get(`shop/${name}`);
  if (resource === undefined) throw new Error(`shop/${name} is not there`);
  return resource;
};
/** Both readings that a removal takes are over when something that came later has been seen, twice. */
async function readAgain(source: FolderSource): Promise<void> {
  for (const name of ['later-1', 'later-2']) {
    const since = performance.now();
    await write(`${name}.yaml`, subscription(name));
    await eventually(
      () => source.subscriptions.get(`shop/${name}`) !== undefined && performance.now() - since > 70,
    );
  }
}
const recordOf = async (name: string) =>
  parse(await readFile(join(state, 'status', `shop.${name}.yaml`), 'utf8')) as {
    problems?: string[];
    events?: { reason: string; count: number }[];
    status?: object;
  };

describe('an edit', () => {
  test('makes a new generation of the same resource, and asks for a reconcile', async () => {
    await write('loyalty.yaml', subscription('loyalty'));
    const source = await open();
    const asked: string[] = [];
    source.subscriptions.changes.start((key) => asked.push(key));
    expect(asked).toEqual(['shop/loyalty']);
    const before = given(source);
    await write('loyalty.yaml', subscription('loyalty', 7));
    await eventually(() => asked.length > 1);
    expect(prefetchOf(source)).toBe(7);
    expect(given(source).metadata).toEqual({ ...before.metadata, generation: 2 });
    expect(asked).toEqual(['shop/loyalty', 'shop/loyalty']);
  });

  test('of a comment changes nothing', async () => {
    await write('loyalty.yaml', subscription('loyalty'));
    const source = await open();
    const { revision } = source.subscriptions;
    await write('loyalty.yaml', `# a comment\n${subscription('loyalty')}`);
    await write('other.yaml', subscription('other'));
    await eventually(() => source.subscriptions.get('shop/other'));
    expect(source.subscriptions.revision).toBe(revision + 1);
  });

  test('adds a resource, and a broker', async () => {
    const source = await open();
    expect(source.subscriptions.list()).toEqual([]);
    await write('new.yml', subscription('loyalty'));
    await write(
      'broker.yaml',
      'apiVersion: warren.events/v1alpha1\nkind: EventBroker\nmetadata: { name: default }\nspec: { secretRef: { namespace: a, name: b } }\n',
    );
    await eventually(() => source.subscriptions.list().length === 1 && source.brokers.list().length === 1);
    expect(source.brokers.get('default')?.spec.allowedNamespaces).toEqual(['*']);
  });

  test('is seen without a word from the file system', async () => {
    const source = await open({ rereadMs: 20, folder });
    // Replacing the whole folder takes the watcher's ground away.
    await rename(folder, join(root, 'old'));
    await mkdir(folder);
    await write('loyalty.yaml', subscription('loyalty'));
    await eventually(() => source.subscriptions.get('shop/loyalty'));
  });
});

test('what cannot be written to the disk is told to nobody, and tried again', async () => {
  const errors: object[] = [];
  const source = await open({ rereadMs: 20, log: { ...silentLog, error: (fields) => errors.push(fields) } });
  const asked: string[] = [];
  source.subscriptions.changes.start((key) => asked.push(key));
  await rename(join(state, 'status'), join(state, 'moved'));
  await writeFile(join(state, 'status'), 'in the way');
  await write('loyalty.yaml', subscription('loyalty'));
  await eventually(() => errors.length > 0);
  expect(asked).toEqual([]);
  await rm(join(state, 'status'));
  await rename(join(state, 'moved'), join(state, 'status'));
  await eventually(() => asked.length > 0);
  expect(await recordOf('loyalty')).toMatchObject({ kind: 'EventSubscription' });
});

describe('a mistake takes nothing away', () => {
  const broken: [string, string, RegExp][] = [
    ['half a file', subscription('loyalty').slice(0, 90), /loyalty\.yaml:3: not valid YAML: /],
    [
      'a wrong value',
      subscription('loyalty', -1),
      /loyalty\.yaml:6: spec\.delivery\.prefetch: Invalid value: -1/,
    ],
    [
      'an unknown field',
      `${subscription('loyalty')}  extra: 1\n`,
      /loyalty\.yaml:7: unknown field "spec\.extra"/,
    ],
  ];

  test.each(broken)(
    '%s: what was in force stays, and the mistake is told until it is gone',
    async (_what, text, says) => {
      const told: string[] = [];
      await write('loyalty.yaml', subscription('loyalty', 7));
      const source = await open({ onProblem: (line) => told.push(line) });
      await write('loyalty.yaml', text);
      await eventually(() => source.problems.length > 0);
      await readAgain(source);
      expect(prefetchOf(source)).toBe(7);
      expect(given(source).metadata.deletionTimestamp).toBeUndefined();
      expect(source.problems).toEqual([expect.stringMatching(says)]);
      expect(told).toEqual(source.problems);
      expect((await recordOf('loyalty')).problems).toEqual(source.problems);
      expect(await readFile(join(state, 'status', 'problems.txt'), 'utf8')).toBe(
        `${source.problems.join('\n')}\n`,
      );

      await write('loyalty.yaml', subscription('loyalty', 8));
      await eventually(() => prefetchOf(source) === 8);
      await eventually(async () => !(await readdir(join(state, 'status'))).includes('problems.txt'));
      await eventually(async () => (await recordOf('loyalty')).problems === undefined);
    },
  );

  test('a file that cannot be read holds what came from it, and the others are read', async () => {
    await write('loyalty.yaml', subscription('loyalty', 7));
    const source = await open();
    await rm(join(folder, 'loyalty.yaml'));
    await symlink('loyalty.yaml', join(folder, 'loyalty.yaml'));
    await readAgain(source);
    expect(prefetchOf(source)).toBe(7);
    expect(source.problems).toEqual([`${join(folder, 'loyalty.yaml')}:1: cannot be read (ELOOP)`]);
  });

  test('a folder that is gone holds everything', async () => {
    await write('loyalty.yaml', subscription('loyalty', 7));
    const source = await open({ rereadMs: 10 });
    await rename(folder, join(root, 'elsewhere'));
    await eventually(() => source.problems.some((line) => line.includes('everything in force stays')));
    expect(prefetchOf(source)).toBe(7);
    await rename(join(root, 'elsewhere'), folder);
    await eventually(() => source.problems.length === 0);
    expect(given(source).metadata.deletionTimestamp).toBeUndefined();
  });

  test('a mistake that was there at the last end is forgotten when it is gone at the next start', async () => {
    await write('loyalty.yaml', subscription('loyalty', -1));
    await (await open()).close();
    expect(await readdir(join(state, 'status'))).toContain('problems.txt');
    await write('loyalty.yaml', subscription('loyalty'));
    await open();
    expect(await readdir(join(state, 'status'))).not.toContain('problems.txt');
  });
});

describe('a removal', () => {
  test('waits for the finalizer, whose end removes the binding too', async () => {
    await write('loyalty.yaml', subscription('loyalty'));
    const source = await open();
    await source.addFinalizer(given(source));
    await source.writeBinding(given(source), 'loyalty', { uri: 'amqp://user:secret@broker' });
    await rm(join(folder, 'loyalty.yaml'));
    await eventually(() => given(source).metadata.deletionTimestamp);
    expect(await readdir(join(state, 'bindings', 'shop', 'loyalty'))).toEqual(['uri']);
    await source.removeFinalizer(given(source));
    expect(source.subscriptions.get('shop/loyalty')).toBeUndefined();
    expect(await readdir(join(state, 'bindings', 'shop'))).toEqual([]);
    expect(await readdir(join(state, 'status'))).not.toContain('shop.loyalty.yaml');
  });

  test('without a finalizer is at once', async () => {
    await write('loyalty.yaml', subscription('loyalty'));
    const source = await open();
    await rm(join(folder, 'loyalty.yaml'));
    await eventually(() => source.subscriptions.get('shop/loyalty') === undefined);
  });

  test('is not an editor that writes beside and renames, nor one that empties the file first', async () => {
    await write('loyalty.yaml', subscription('loyalty', 7));
    const source = await open({ removedAfterMs: 5_000 });
    await source.addFinalizer(given(source));
    await rename(join(folder, 'loyalty.yaml'), join(folder, 'loyalty.yaml~'));
    await write('.loyalty.yaml.swp', 'not yaml: [');
    await write('loyalty.yaml', '');
    await write('seen.yaml', subscription('seen'));
    await eventually(() => source.subscriptions.get('shop/seen'));
    expect(given(source).metadata.deletionTimestamp).toBeUndefined();
    await write('loyalty.yaml', subscription('loyalty', 8));
    await eventually(() => prefetchOf(source) === 8);
    expect(given(source).metadata.deletionTimestamp).toBeUndefined();
    expect(source.problems).toEqual([]);
  });

  test('is not a move to another file', async () => {
    await write('loyalty.yaml', subscription('loyalty'));
    const source = await open();
    const { uid } = given(source).metadata;
    await rename(join(folder, 'loyalty.yaml'), join(folder, 'points.yaml'));
    await readAgain(source);
    expect(given(source).metadata).toMatchObject({ uid, generation: 1 });
  });

  test('is taken back by the file that comes back, also when the finalizer ends a moment later', async () => {
    await write('loyalty.yaml', subscription('loyalty'));
    const source = await open();
    await source.addFinalizer(given(source));
    await rm(join(folder, 'loyalty.yaml'));
    const deleting = await eventually(() => {
      const resource = given(source);
      return resource.metadata.deletionTimestamp === undefined ? undefined : resource;
    });
    await write('loyalty.yaml', subscription('loyalty'));
    await eventually(() => given(source).metadata.deletionTimestamp === undefined);
    await source.removeFinalizer(deleting);
    expect(given(source).metadata.finalizers).toEqual([FINALIZER]);
  });
});

describe('a restart', () => {
  test('goes on with the same resource: uid, generation, finalizer, status, story', async () => {
    await write('loyalty.yaml', subscription('loyalty'));
    const first = await open();
    await first.addFinalizer(given(first));
    await first.writeSubscriptionStatus(given(first), { queue: 'shop.loyalty', consumers: 2 });
    const story = { type: 'Normal', reason: 'Applied', action: 'Apply', message: 'declared' } as const;
    first.tell(given(first), story);
    first.tell(given(first), story);
    const before = given(first);
    await first.close();
    const second = await open();
    expect(given(second)).toEqual(before);
    expect((await recordOf('loyalty')).events).toMatchObject([{ reason: 'Applied', count: 2 }]);
  });

  test('sees an edit and a removal that took place meanwhile', async () => {
    await write('loyalty.yaml', subscription('loyalty'));
    await write('points.yaml', subscription('points'));
    const first = await open();
    await first.addFinalizer(given(first));
    await first.addFinalizer(given(first, 'points'));
    await first.close();
    await write('loyalty.yaml', subscription('loyalty', 7));
    await rm(join(folder, 'points.yaml'));
    const second = await open();
    expect(given(second)).toMatchObject({ metadata: { generation: 2 }, spec: { delivery: { prefetch: 7 } } });
    expect(await eventually(() => given(second, 'points').metadata.deletionTimestamp)).toMatch(/^\d{4}-/);
  });

  test('with a mistake in the file goes on with what was in force, however the folder is written', async () => {
    await write('loyalty.yaml', subscription('loyalty', 7));
    await (await open()).close();
    await write('loyalty.yaml', 'half: [');
    const second = await open({ folder: relative(process.cwd(), folder) });
    await readAgain(second);
    expect(prefetchOf(second)).toBe(7);
    expect(given(second).metadata.deletionTimestamp).toBeUndefined();
  });

  test('with a broken state file reads the folder, and says so', async () => {
    await write('loyalty.yaml', subscription('loyalty', 7));
    await (await open()).close();
    await writeFile(join(state, 'status', 'shop.loyalty.yaml'), 'half: [');
    const errors: object[] = [];
    const log = { ...silentLog, error: (fields: object) => errors.push(fields) };
    const second = await open({ log });
    expect(errors).toMatchObject([{ file: join(state, 'status', 'shop.loyalty.yaml') }]);
    expect(prefetchOf(second)).toBe(7);
  });

  test('after a kill in the middle of a write leaves nothing half written, and nothing behind', async () => {
    await write('loyalty.yaml', subscription('loyalty', 7));
    const first = await open();
    await first.writeBinding(given(first), 'loyalty', { uri: 'amqp://one' });
    await first.close();
    const [status, binding] = [join(state, 'status'), join(state, 'bindings', 'shop', 'loyalty')];
    await writeFile(join(status, '.shop.loyalty.yaml.tmp'), 'half: [');
    await writeFile(join(binding, '.uri.tmp'), 'amqp:');
    const second = await open();
    expect(prefetchOf(second)).toBe(7);
    await second.writeSubscriptionStatus(given(second), { consumers: 1 });
    await second.writeBinding(given(second), 'loyalty', { uri: 'amqp://two' });
    expect(await readdir(status)).toEqual(['.folder', 'shop.loyalty.yaml']);
    expect(await readdir(binding)).toEqual(['uri']);
    expect(await readFile(join(binding, 'uri'), 'utf8')).toBe('amqp://two');
  });

  test('with the state of another folder is refused: everything described there would be deleted', async () => {
    await (await open()).close();
    await mkdir(join(root, 'others'));
    await expect(open({ folder: join(root, 'others') })).rejects.toMatchObject({
      code: 'WARREN_FOLDER',
      message: expect.stringContaining('everything described there would be deleted'),
    });
    await expect(open({ folder: join(root, 'none') })).rejects.toMatchObject({ code: 'WARREN_FOLDER' });
  });
});

describe('what is written', () => {
  test('is written only when it differs', async () => {
    await write('loyalty.yaml', subscription('loyalty'));
    const source = await open();
    const status = { queue: 'shop.loyalty' };
    expect(await source.writeSubscriptionStatus(given(source), status)).toBe(true);
    expect(await source.writeSubscriptionStatus(given(source), { ...status })).toBe(false);
    const entries = { uri: 'amqp://broker', queue: 'shop.loyalty' };
    expect(await source.writeBinding(given(source), 'loyalty', entries)).toBe(true);
    expect(await source.writeBinding(given(source), 'loyalty', { ...entries })).toBe(false);
    expect(await source.writeBinding(given(source), 'loyalty', { uri: 'amqp://broker' })).toBe(true);
    expect(await readdir(join(state, 'bindings', 'shop', 'loyalty'))).toEqual(['uri']);
  });

  test('is readable by its owner alone where it is secret', async () => {
    await write('loyalty.yaml', subscription('loyalty'));
    const source = await open();
    await source.writeBinding(given(source), 'loyalty', { uri: 'amqp://user:secret@broker' });
    const { mode } = await stat(join(state, 'bindings', 'shop', 'loyalty', 'uri'));
    expect(mode & 0o077).toBe(0);
  });
});

describe('a secret', () => {
  test('is read from the state folder, and a change of it is told', async () => {
    const source = await open();
    const ref = { namespace: 'warren-system', name: 'rabbitmq' };
    expect(await source.readSecret(ref)).toBeUndefined();
    const changed: object[] = [];
    source.onSecretChange((one) => changed.push(one));
    const secret = join(state, 'secrets', 'warren-system', 'rabbitmq');
    await mkdir(secret, { recursive: true });
    await writeFile(join(secret, 'uri'), 'amqp://broker\n');
    await eventually(() => changed.length > 0);
    expect(changed[0]).toEqual(ref);
    expect(await source.readSecret(ref)).toEqual({ uri: 'amqp://broker' });
  });
});
