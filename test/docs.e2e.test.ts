/**
 * What the pages tell to type, typed: in a copy of the repository, with `npm start` running in another terminal, as a reader
 * has it. A block with `<!-- not run: why -->` before it is left out.
 */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '@warren/environment/testing';
import { databaseUrl, preferredPorts } from '../scripts/shop.ts';
import { blocksOf, root, type Block } from './support/docs.ts';
import { startRun, type StartRun } from './support/start-run.ts';

const run = promisify(execFile);
const shells = new Set(['sh', 'bash', 'shell', 'console']);

const pages = [
  'README.md',
  ...(await readdir(join(root, 'docs'), { recursive: true })).map((page) => `docs/${page}`),
]
  .filter((page) => page.endsWith('.md'))
  .sort();
const blocks: [string, Block][] = (
  await Promise.all(
    pages.map(async (page) => (await blocksOf(page)).map((block): [string, Block] => [page, block])),
  )
).flat();
const commands = blocks.filter(([, { language }]) => shells.has(language));
const toRun = commands.filter(([, { notRun }]) => notRun === undefined);

let copy: string;
let shop: StartRun;

beforeAll(async () => {
  copy = await copyOfRepository();
  shop = await startRun({ how: 'node', folder: copy });
  await shop.says('It stays up.');
}, 120_000);

afterAll(async () => {
  await shop[Symbol.asyncDispose]();
  await rm(copy, { recursive: true, force: true });
}, 60_000);

/** What git would clone, with what is not committed yet; the installed packages are shared. */
async function copyOfRepository(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'warren-docs-'));
  const { stdout } = await run('git', ['ls-files', '-co', '--exclude-standard', '-z'], {
    cwd: root,
    maxBuffer: 1e8,
  });
  const files = stdout.split('\0').filter((file) => file !== '');
  for (const folderName of new Set(files.map((file) => dirname(file)))) {
    await mkdir(join(folder, folderName), { recursive: true });
  }
  // A file that somebody has just removed is not missed.
  await Promise.all(files.map((file) => cp(join(root, file), join(folder, file)).catch(() => undefined)));
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

/** The addresses of the pages become those of this run: ports that were taken, the virtual host, the database. */
async function adapted(text: string): Promise<string> {
  const { services } = JSON.parse(await readFile(shop.environment['WARREN_ENDPOINTS'] ?? '', 'utf8')) as {
    services: Record<string, string>;
  };
  let result = text;
  for (const [name, port] of Object.entries(preferredPorts)) {
    const url = services[name];
    if (url !== undefined)
      result = result.replaceAll(new RegExp(`http://(127\\.0\\.0\\.1|localhost):${port}\\b`, 'g'), url);
  }
  const vhost = new URL(shop.environment['RABBITMQ_URL'] ?? '').pathname.slice(1);
  return result
    .replaceAll(
      /http:\/\/guest:guest@(127\.0\.0\.1|localhost):15672/g,
      shop.environment['RABBITMQ_MANAGEMENT_URL'] ?? '',
    )
    .replaceAll('/%2F/', `/${vhost}/`)
    .replaceAll('mongodb://127.0.0.1:27017/', databaseUrl(shop.mongodbUrl, `${shop.databasePrefix}docs`));
}

/** A wrong answer fails a command as it would disappoint a reader. */
const prelude = 'set -euo pipefail; curl() { command curl --fail-with-body "$@"; };';

test('every page has its code blocks closed, and every block that is left out says why', () => {
  expect(commands.length).toBeGreaterThanOrEqual(8);
  for (const [page, { notRun }] of commands) {
    if (notRun !== undefined) expect(`${page}: ${notRun}`).toMatch(/: \w.{9,}/);
  }
});

describe('what a page tells to type works', () => {
  test.each(toRun.map(([page, block]) => [page, block.text.trim(), block.until] as const))(
    '%s: %s',
    async (_, text, until) => {
      const command = await adapted(text);
      // A reader looks again when something takes a moment.
      await eventually(
        async () => {
          const { stdout } = await run('bash', ['-c', `${prelude}\n${command}`], {
            cwd: copy,
            env: { ...process.env, ...shop.environment },
          }).catch((error: unknown) => {
            throw new Error(`${String(error)}\n${(error as { stderr?: string }).stderr ?? ''}`, {
              cause: error,
            });
          });
          return until === undefined || stdout.includes(until);
        },
        { timeoutMs: 30_000, intervalMs: 300 },
      );
    },
  );
});

describe('what a page shows of a file', () => {
  test.each(
    blocks.flatMap(([page, { file, text }]) => (file === undefined ? [] : [[page, file, text] as const])),
  )('%s: is what %s is', async (_, file, text) => {
    expect(text).toBe(await readFile(join(root, file), 'utf8'));
  });
});
