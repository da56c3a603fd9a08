/** A process is killed (SIGKILL) between two lines; another one goes on. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { eventually, testDatabase } from '@warren/environment/testing';
import { InboxBusyError } from './errors.ts';
import { createInbox, idempotencyKey } from './inbox.ts';
import { createRelay } from './relay.ts';
import type { Report, Scene } from './testing/crash-worker.ts';
import { orders } from './testing/projections.ts';
import { cause, openStore, placed } from './testing/test-store.ts';
import type { TestStore } from './testing/test-store.ts';

interface Worker extends AsyncDisposable {
  readonly reports: Report[];
  kill(): Promise<void>;
}

function startWorker(url: string, scene: Scene): Worker {
  const child = fork(join(import.meta.dirname, 'testing/crash-worker.ts'), [url, scene], {
    execArgv: ['--conditions=warren-source', '--disable-warning=ExperimentalWarning'],
  });
  const reports: Report[] = [];
  child.on('message', (report) => reports.push(report as Report));
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  };
  return { reports, kill, [Symbol.asyncDispose]: kill };
}

/** Runs a worker up to a place, and kills it there. */
async function killAt(url: string, scene: Scene): Promise<Report[]> {
  await using worker = startWorker(url, scene);
  await eventually(() => worker.reports.some((report) => 'at' in report));
  await worker.kill();
  return worker.reports;
}

const idsOf = (reports: readonly Report[]): string[] =>
  reports.flatMap((report) => ('published' in report ? [report.published] : []));

/** What a relay of another process publishes until nothing is pending. */
async function publishRest({ store }: TestStore): Promise<string[]> {
  const published: string[] = [];
  const relay = createRelay({
    store,
    graceMs: 0,
    publish: ({ id }) => Promise.resolve(void published.push(id)),
  });
  relay.start();
  try {
    await eventually(async () => (await relay.backlog()).count === 0);
  } finally {
    await relay.stop();
  }
  return published;
}

describe('a process that is killed', () => {
  test('between append and publish: the next one publishes', async () => {
    await using database = await testDatabase();
    expect(idsOf(await killAt(database.url, 'appended'))).toEqual([]);
    await using opened = await openStore(database.url, { projections: [orders] });
    const ids = (await opened.store.read('o')).map(({ id }) => id);
    expect(ids).toHaveLength(2);
    expect(await publishRest(opened)).toEqual(ids);
  });

  test('between publish and mark: the next one publishes again, with the same ids', async () => {
    await using database = await testDatabase();
    const before = idsOf(await killAt(database.url, 'published'));
    await using opened = await openStore(database.url, { projections: [orders] });
    const ids = (await opened.store.read('o')).map(({ id }) => id);
    expect(before).toEqual(ids);
    expect(await publishRest(opened)).toEqual(ids);
  });

  test('between claim and done: the claim is taken over after its lease, with the same idempotency key', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url);
    const inbox = createInbox({ connection: opened.connection });
    await inbox.init();
    const [report] = await killAt(database.url, 'claimed');
    expect(report).toMatchObject({ key: idempotencyKey('h', 'm') });

    const keys: string[] = [];
    const effect = (key: string): Promise<number> => Promise.resolve(keys.push(key));
    const refusals: unknown[] = [];
    const done = await eventually(async () => {
      try {
        return await inbox.once('h', 'm', effect, { leaseMs: 1500 });
      } catch (error) {
        refusals.push(error);
        return false;
      }
    });
    expect(done).toEqual({ done: 'now', result: 1 });
    expect(keys).toEqual([idempotencyKey('h', 'm')]);
    expect(refusals.length).toBeGreaterThan(0);
    for (const refusal of refusals) expect(refusal).toBeInstanceOf(InboxBusyError);
  });

  test('while it rebuilds a projection: readers see the old one, and the next one goes on from its place', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url, { projections: [orders] });
    const { store } = opened;
    for (let n = 0; n < 20; n++) await store.append(`o${n}`, 0, [placed(`o${n}`)], cause);
    await killAt(database.url, 'rebuilding');
    expect(await store.projection(orders).count()).toBe(20);
    await store.append('late', 0, [placed('late')], cause);
    const places: number[] = [];
    await store.rebuildProjections({
      resume: true,
      pageSize: 5,
      onProgress: ({ done }) => places.push(done),
    });
    expect(places[0]).toBeGreaterThan(5);
    await publishRest(opened); // a relay makes certain of what was appended meanwhile
    expect(await store.projection(orders).count()).toBe(21);
  });

  test('at any time, again and again: nothing is lost, nothing overtaken, everything projected', async () => {
    await using database = await testDatabase();
    const published: string[] = [];
    for (const enough of [1, 15, 40]) {
      await using worker = startWorker(database.url, 'busy');
      await eventually(() => worker.reports.length >= enough);
      await worker.kill();
      published.push(...idsOf(worker.reports));
    }
    await using opened = await openStore(database.url, { projections: [orders] });
    published.push(...(await publishRest(opened)));
    const firstCopies = [...new Set(published)];
    for (const order of ['o0', 'o1', 'o2', 'o3', 'o4']) {
      const events = await opened.store.read(order);
      const ids = events.map(({ id }) => id);
      expect(firstCopies.filter((id) => ids.includes(id))).toEqual(ids);
      const { versions } = (await opened.store.projection(orders).get(order)) ?? { versions: [] };
      expect(versions).toEqual(events.map(({ version }) => version));
    }
    expect(firstCopies.length).toBeGreaterThan(40);
  });
});
