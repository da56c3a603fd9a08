/** Processes that want the same cache entry at once. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { cached } from './cache.ts';
import { endingWithUs } from './contained.ts';
import { eventually } from './eventually.ts';
import { silent } from './progress.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'warren-cache-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const cache = () => join(dir, 'cache');
const log = () => join(dir, 'log');
const mayEnd = () => join(dir, 'may-end');
const happened = () => readFileSync(log(), { encoding: 'utf8', flag: 'a+' }).split('\n').filter(Boolean);

/** A process that wants an entry whose build lasts until `mayEnd` is there, and writes to `log` what happens. */
function wanting(): ChildProcess {
  const script = `
    import { appendFileSync, existsSync, writeFileSync } from 'node:fs';
    import { cached } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, 'cache.ts')).href)};
    const say = (what) => appendFileSync(${JSON.stringify(log())}, process.pid + ' ' + what + '\\n');
    const build = async (folder) => {
      say('builds');
      while (!existsSync(${JSON.stringify(mayEnd())})) await new Promise((resolve) => setTimeout(resolve, 5));
      writeFileSync(folder + '/by', String(process.pid));
    };
    const report = (part, message) => say(message);
    await cached('tool', 'k', build, { report, dir: ${JSON.stringify(cache())} });
    say('has it');`;
  const [command, args] = endingWithUs(process.execPath, '--input-type=module', '--eval', script);
  return spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
}

const hasSaid = (child: ChildProcess, what: string) => happened().includes(`${child.pid} ${what}`);
const WAITING = 'waiting for another process that builds tool';

/** One that builds and one that waits for it. */
async function both(): Promise<{ builder: ChildProcess; waiter: ChildProcess }> {
  const builder = wanting();
  await eventually(() => hasSaid(builder, 'builds'));
  const waiter = wanting();
  await eventually(() => hasSaid(waiter, WAITING));
  return { builder, waiter };
}

test('an entry that another process builds is waited for, not built twice', async () => {
  const { builder, waiter } = await both();
  writeFileSync(mayEnd(), '');
  const codes = await Promise.all([builder, waiter].map((child) => once(child, 'exit')));
  expect(codes).toEqual([
    [0, null],
    [0, null],
  ]);
  expect(happened().filter((line) => line.endsWith(' builds'))).toHaveLength(1);
  expect(happened().filter((line) => line.endsWith(' has it'))).toHaveLength(2);
  expect(readdirSync(cache())).toEqual(['tool-k']);
});

test('an entry whose builder is killed is built by the one that waited', async () => {
  const { builder, waiter } = await both();
  builder.kill('SIGKILL');
  await eventually(() => hasSaid(waiter, 'builds'));
  writeFileSync(mayEnd(), '');
  expect(await once(waiter, 'exit')).toEqual([0, null]);
  expect(readFileSync(join(cache(), 'tool-k', 'by'), 'utf8')).toBe(String(waiter.pid));
  expect(readdirSync(cache())).toEqual(['tool-k']);
});

test('a wait for another build is abandoned when it is asked to be', async () => {
  const builder = wanting();
  await eventually(() => hasSaid(builder, 'builds'));
  const abandoned = new AbortController();
  const waits = cached('tool', 'k', () => Promise.reject(new Error('not ours')), {
    report: (_part, message) => {
      appendFileSync(log(), `${message}\n`);
      abandoned.abort(new Error('enough'));
    },
    signal: abandoned.signal,
    dir: cache(),
  });
  await expect(waits).rejects.toThrow('enough');
  expect(happened()).toContain(WAITING);
  builder.kill('SIGKILL');
  await once(builder, 'exit');
  expect(await cached('tool', 'k', () => Promise.resolve(), { report: silent, dir: cache() })).toBe(
    join(cache(), 'tool-k'),
  );
});
