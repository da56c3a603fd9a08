/**
 * Base images out of Debian packages, for a machine that reaches no image registry: a root file system with nothing but
 * glibc and libstdc++ to stand on, and one with a shell, node and npm to build in. Node is the one of the npm package.
 */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { debianTool, EnvironmentError, run, type Context } from '@warren/environment';
import type { Engine } from './engine.ts';

const SUITE = 'trixie';

/** The names of both images, made where they are not there yet. */
export async function debianBase(
  engine: Engine,
  root: string,
  context: Context,
): Promise<{ node: string; base: string }> {
  if (engine.name !== 'buildah')
    throw new EnvironmentError(
      'WARREN_ENVIRONMENT_UNAVAILABLE',
      '--base debian is made by buildah: add --engine buildah',
    );
  const base = `localhost/warren-base:${SUITE}`;
  const node = `localhost/warren-node:${SUITE}-${process.version}`;
  if (!(await engine.has(base))) await makeBase(base, context);
  if (!(await engine.has(node))) await makeNode(node, root, context);
  return { node, base };
}

async function makeBase(image: string, context: Context): Promise<void> {
  // `extract` unpacks and runs no maintainer script: no shell, no package manager, nobody to log in as.
  const packages = 'base-files,libc6,libgcc-s1,libstdc++6';
  await fromDebian(image, ['--variant=extract', `--include=${packages}`], () => Promise.resolve(), context);
}

async function makeNode(image: string, root: string, context: Context): Promise<void> {
  const npm = npmFolder();
  await fromDebian(
    image,
    ['--variant=essential', '--include=libstdc++6'],
    async (container, call) => {
      const binary = realpathSync(join(root, 'node_modules/node/bin/node'));
      await call(['copy', container, binary, '/usr/local/bin/node']);
      await call(['copy', container, npm, '/usr/local/lib/node_modules/npm']);
      const link = ['ln', '-sf', '../lib/node_modules/npm/bin/npm-cli.js', '/usr/local/bin/npm'];
      await call(['run', '--isolation=chroot', container, '--', ...link]);
    },
    context,
  );
}

/** Where this machine has npm itself. */
function npmFolder(): string {
  const found = process.env['npm_execpath'];
  if (found !== undefined) return dirname(dirname(realpathSync(found)));
  return join(execFileSync('npm', ['root', '--global'], { encoding: 'utf8' }).trim(), 'npm');
}

type Call = (args: string[]) => Promise<string>;

async function fromDebian(
  image: string,
  options: readonly string[],
  add: (container: string, call: Call) => Promise<unknown>,
  context: Context,
): Promise<void> {
  await debianTool('mmdebstrap', context);
  const folder = mkdtempSync(join(tmpdir(), 'warren-base-'));
  const about = { part: 'base', what: `making ${image}`, contained: true, ...context };
  const call: Call = (args) => run('buildah', args, about);
  try {
    const archive = join(folder, 'root.tar');
    context.report('base', `making ${image} from Debian packages (half a minute)`);
    await run('mmdebstrap', [...options, '--quiet', SUITE, archive], about);
    const container = (await call(['from', 'scratch'])).trim();
    try {
      await call(['add', '--quiet', container, archive, '/']);
      await add(container, call);
      await call(['commit', '--quiet', container, image]);
    } finally {
      await call(['rm', container]);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
