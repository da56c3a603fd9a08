/** `npm start`, as a newcomer runs it: the story is true, the commands can be pasted, and nothing is left behind. */
import { execFile } from 'node:child_process';
import { createServer } from 'node:net';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import { eventually } from '@warren/environment/testing';
import { mongo } from 'mongoose';
import { eventuallyHolds } from './support/eventually.ts';
import { root } from './support/docs.ts';
import { startRun, startScript, type StartRun } from './support/start-run.ts';

const uuid = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/;

/** `OrderPlaced <id> order` out of the lines of the story. */
const told = (output: string) =>
  [...output.matchAll(new RegExp(`^ +[\\d.]+ m?s  (\\w+) +(${uuid.source})  ([a-z-]+)$`, 'gm'))].map(
    ([, type, id, publisher]) => `${type ?? ''} ${id ?? ''} ${publisher ?? ''}`,
  );

async function logged(run: StartRun): Promise<string[]> {
  await using client = new mongo.MongoClient(run.mongodbUrl);
  const log = client
    .db(`${run.databasePrefix}event-log`)
    .collection<{ _id: string; type: string; source: string }>('event_log');
  return (await log.find().toArray()).map(({ type, _id, source }) => `${type} ${_id} ${source}`);
}

describe('npm start -- --once', () => {
  test('tells the story of one order as it is in the event log, ends with success and leaves no process', async () => {
    await using run = await startRun({ how: 'npm', args: ['--once'] });
    expect([await run.ended(), run.output()]).toEqual(['code 0', expect.any(String)]);
    const output = run.output();

    expect(told(output).sort()).toEqual((await logged(run)).sort());
    expect(told(output).map((line) => line.split(' ')[0])).toEqual(
      expect.arrayContaining([
        'UserCreated',
        'OrderPlaced',
        'PaymentApproved',
        'OrderCompleted',
        'PointsEarned',
      ]),
    );
    for (const consumer of ['payment', 'order', 'loyalty', 'notification', 'event-log']) {
      expect(output).toMatch(
        new RegExp(`→ ${consumer} +took it in [\\d.]+ m?s, [\\d.]+ m?s after the event`),
      );
    }
    expect(output).toMatch(/order +completed, 29\.99 EUR\n +loyalty +29 points\n/);
    expect(output).toMatch(/│ Your order [0-9a-f-]+ is paid \(29\.99\)/);
    expect(Math.max(...output.split('\n').map((line) => line.length))).toBeLessThanOrEqual(120);
    // eslint-disable-next-line no-control-regex
    expect(output).not.toMatch(/\u001b/); // no terminal, no colours
    expect(await run.left()).toEqual([]);
  }, 120_000);
});

test('npm start -- --kubernetes does the same with an API server: the resources by kubectl, the bindings from Secrets', async () => {
  await using run = await startRun({ how: 'npm', args: ['--kubernetes', '--once'] });
  expect([await run.ended(), run.output()]).toEqual(['code 0', expect.any(String)]);
  expect(told(run.output()).sort()).toEqual((await logged(run)).sort());
  expect(run.output()).toMatch(/^ +shop +loyalty +True +\["OrderCompleted"\]/m);
  expect(run.output()).toMatch(/loyalty +29 points/);
  expect(await run.left()).toEqual([]);
}, 180_000);

describe('npm start', () => {
  test('stays up, takes what is pasted, starts a dead service again, and ends all of it on Ctrl-C', async () => {
    await using taken = await takePort(3001);
    await using run = await startRun({ how: 'node' });
    await run.says('It stays up.');
    if (taken.byUs)
      expect(run.output()).toMatch(
        new RegExp(`user +port 3001 is taken by process ${process.pid} .*; using \\d+ instead`),
      );

    await expect(
      promisify(execFile)(process.execPath, startScript(), {
        cwd: root,
        env: { ...process.env, ...run.environment },
      }),
    ).rejects.toMatchObject({
      code: 1,
      stdout: expect.stringContaining(`another npm start runs already, as process ${run.child.pid ?? 0}`),
    });

    const [place, edit, look, breakIt, dead] = commandsIn(run.output());
    await paste(place);
    await eventually(
      () => told(run.output()).filter((line) => line.startsWith('OrderCompleted')).length === 2,
    );

    await paste(edit);
    await run.says('set the policy of queue shop.notification');
    expect(await paste(look)).toMatch(/attempts: 3/);

    await paste(breakIt);
    await run.says(/notification +attempt 1 failed after .*451/);
    await run.says(/notification +attempt 3 failed after/);
    await run.says(/notification +set it aside after/);
    const letters = JSON.parse(await paste(dead)) as { properties: { headers: object } }[];
    expect(letters).toMatchObject([{ properties: { headers: { 'warren-failure-attempts': 3 } } }]);

    process.kill(await pidOf(run, 'services/loyalty'), 'SIGKILL');
    await run.says('loyalty ended with SIGKILL; its last lines');
    await run.says('starting loyalty again (1 of 3 within a minute)');
    await eventually(() => pidOf(run, 'services/loyalty'));

    run.child.kill('SIGINT');
    expect(await run.ended()).toBe('code 0');
    expect(run.output()).toMatch(/all ended\s*$/);
    expect(await run.left()).toEqual([]);
  }, 120_000);

  test('killed with SIGKILL, takes everything it started with it', async () => {
    await using run = await startRun({ how: 'node' });
    await run.says('It stays up.');
    expect((await run.left()).length).toBeGreaterThanOrEqual(8);
    run.child.kill('SIGKILL');
    await eventuallyHolds(async () => expect(await run.left()).toEqual([]));
  }, 120_000);

  test('ends with the reason when a process cannot start', async () => {
    await using run = await startRun({
      how: 'node',
      prepare: async ({ stateDir }) => {
        // What the operator refuses: a state that belongs to another folder.
        await mkdir(join(stateDir, 'status'));
        await writeFile(join(stateDir, 'status', '.folder'), '/somewhere/else\n');
      },
    });
    expect(await run.ended()).toBe('code 1');
    expect(run.output()).toMatch(/✗ operator ended with code 1\. Its last lines/);
    expect(run.output()).toContain('belongs to the folder /somewhere/else');
    expect(await run.left()).toEqual([]);
  }, 60_000);
});

/** The commands under "three things to try": each begins with seven spaces, and goes on after a backslash or in a quote. */
function commandsIn(output: string): string[] {
  const lines = output
    .split('\n')
    .filter((line) => line.startsWith('       ') && /^ +(curl|sed|cat|-d|"lines")/.test(line));
  const commands: string[] = [];
  for (const line of lines) {
    if (/^ {7}\S/.test(line)) commands.push(line.trim());
    else commands.push(`${commands.pop() ?? ''}\n${line}`);
  }
  return commands;
}

async function paste(command: string | undefined): Promise<string> {
  if (command === undefined) throw new Error('there is no such command');
  return (await promisify(execFile)('bash', ['-c', command], { cwd: root })).stdout;
}

async function pidOf(run: StartRun, name: string): Promise<number> {
  const { stdout } = await promisify(execFile)('pgrep', ['-f', `${name}/src/main.ts`]);
  for (const pid of stdout.trim().split('\n')) {
    const environ = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
    if (environ.includes(run.stateDir)) return Number(pid);
  }
  throw new Error(`${name} does not run`);
}

/** Somebody has the port; perhaps another process has it already, which is as good. */
async function takePort(port: number): Promise<AsyncDisposable & { byUs: boolean }> {
  const server = createServer();
  const byUs = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => resolve(true));
  });
  return { byUs, [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) };
}
