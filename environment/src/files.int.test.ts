/** The files that outlive a process: cache entries, endpoints, and ports that others hold. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { cached } from './cache.ts';
import { publishTo, readEndpoints, unpublishFrom, writeEndpoints, type Endpoints } from './endpoints.ts';
import { choosePort } from './ports.ts';
import { processNow, thisProcess, type ProcessId } from './process-id.ts';
import { silent } from './progress.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'warren-files-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** The id of a process that has ended. */
async function ended(): Promise<ProcessId> {
  const child = spawn('sleep', ['60']);
  await once(child, 'spawn');
  const id = processNow(child.pid!)!;
  child.kill('SIGKILL');
  await once(child, 'exit');
  return id;
}

describe('a cache entry', () => {
  const here = () => ({ report: silent, dir });
  const build = (folder: string) => {
    writeFileSync(join(folder, 'binary'), 'whole');
    return Promise.resolve();
  };

  test('is built once', async () => {
    let builds = 0;
    const counted = (folder: string) => {
      builds += 1;
      return build(folder);
    };
    const entry = await cached('tool', 'k1', counted, here());
    expect(await cached('tool', 'k1', counted, here())).toBe(entry);
    expect(await cached('tool', 'k2', counted, here())).not.toBe(entry);
    expect(builds).toBe(2);
    expect(readdirSync(dir).sort()).toEqual(['tool-k1', 'tool-k2']);
  });

  test('is not there when its build fails, and the next try starts from nothing', async () => {
    const failing = (folder: string) => {
      writeFileSync(join(folder, 'half'), '');
      return Promise.reject(new Error('no space'));
    };
    await expect(cached('tool', 'k', failing, here())).rejects.toThrow('no space');
    expect(readdirSync(dir)).toEqual([]);
    const entry = await cached('tool', 'k', build, here());
    expect(readdirSync(entry)).toEqual(['binary']);
  });

  test('of a killed build is not taken for a whole one, and is removed', async () => {
    const { pid, startTime } = await ended();
    const left = join(dir, `tool-k.${pid}.${startTime}.unfinished`);
    mkdirSync(left);
    writeFileSync(join(left, 'half'), '');
    const mine = thisProcess();
    const others = join(dir, `other-k.${mine.pid}.${mine.startTime}.unfinished`);
    mkdirSync(others);
    const entry = await cached('tool', 'k', build, here());
    expect(readdirSync(entry)).toEqual(['binary']);
    expect(existsSync(left)).toBe(false);
    expect(existsSync(others)).toBe(true);
  });
});

describe('the endpoints file', () => {
  const parts = {
    rabbitmq: { amqp: 'amqp://b', management: 'http://b' },
    mongodb: 'mongodb://d/',
    kubernetes: null,
  };
  const cluster = { kubeconfig: '/k' };
  const file = () => join(dir, 'endpoints.json');
  const of = (owner: ProcessId, more: Partial<Endpoints> = {}) => ({
    ...parts,
    services: {},
    owner,
    ...more,
  });

  test('tells nobody anything when its owner has ended, and is for this user alone', async () => {
    expect(readEndpoints(file())).toBeUndefined();
    writeEndpoints(file(), of(thisProcess()));
    expect(readEndpoints(file())).toMatchObject(parts);
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    writeEndpoints(file(), of(await ended()));
    expect(readEndpoints(file())).toBeUndefined();
    writeFileSync(file(), '{"half":');
    expect(readEndpoints(file())).toBeUndefined();
  });

  test('keeps what its owner runs when a guest adds to it and leaves', () => {
    const owner = processNow(1)!;
    const guest = thisProcess();
    writeEndpoints(file(), of(owner));
    const guests = { services: { order: 'http://o' }, kubernetes: cluster };
    publishTo(file(), of(guest));
    expect(readEndpoints(file())).not.toHaveProperty('guest');
    publishTo(file(), of(guest, guests));
    expect(readEndpoints(file())).toMatchObject({ ...parts, ...guests, owner });
    unpublishFrom(file(), guest);
    expect(readEndpoints(file())).toEqual(of(owner));
    unpublishFrom(file(), owner);
    expect(existsSync(file())).toBe(false);
  });

  test('forgets a guest that was killed', async () => {
    const owner = thisProcess();
    const guest = { ...(await ended()), kubernetes: true };
    writeEndpoints(file(), { ...of(owner), services: { order: 'http://o' }, kubernetes: cluster, guest });
    expect(readEndpoints(file())).toEqual(of(owner));
  });
});

test('a port that is taken is moved, and its holder named', async () => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const { port } = server.address() as AddressInfo;
    const said: string[] = [];
    const moved = await choosePort(
      'rabbitmq',
      port,
      (part, message) => said.push(`${part} ${message}`),
      new Set(),
    );
    expect(moved).not.toBe(port);
    expect(said.join()).toMatch(
      new RegExp(`rabbitmq port ${port} is taken by process ${process.pid} .*${moved}`),
    );
  } finally {
    server.close();
    await once(server, 'close');
  }
});

test('a port that is free is taken, once', async () => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  const taken = new Set<number>();
  const said: string[] = [];
  const report = (_part: string, message: string) => said.push(message);
  expect(await choosePort('a', port, report, taken)).toBe(port);
  expect(said).toEqual([]);
  expect(await choosePort('b', port, report, taken)).not.toBe(port);
});
