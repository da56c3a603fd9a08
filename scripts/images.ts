/** `npm run images`: an image for each service and the operator, from the one Dockerfile. See USAGE. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { EnvironmentError, printer, type Context } from '@warren/environment';
import { BrokenTreeError, building } from './images/blame.ts';
import { debianBase } from './images/debian-base.ts';
import { findEngine } from './images/engine.ts';
import { workspaces, writeValues } from './images/pinned.ts';

const USAGE = `npm run images [-- options] [name ...]: an image for each service and the operator (or only those named)

  --tag TAG         what to call them (the version in package.json)
  --registry NAME   in front of their names, such as registry.example/team
  --base debian     the base images are made here from Debian packages, where no image registry is reached (root on Debian)
  --archive FOLDER  also writes each as FOLDER/<name>.tar, for kind load image-archive or ctr images import
  --push            pushes them; docker (buildx) adds an SBOM and provenance
  --values FOLDER   with --push: writes FOLDER/warren.yaml and FOLDER/shop.yaml, the charts' values with the pushed digests
  --engine NAME     docker or buildah (docker where it runs)
  --help

  NODE_IMAGE, BASE_IMAGE   base images, in place of those that the Dockerfile names
  SOURCE_DATE_EPOCH        the time of all files, in seconds (that of the last commit): the same source makes the same image
  NPM_CONFIG_USERCONFIG    an .npmrc that the build may read, as a build secret
  NODE_EXTRA_CA_CERTS      certificates that the build trusts, as a build secret
`;

const root = join(import.meta.dirname, '..');

/** As USAGE tells. */
export interface ImageOptions {
  /** All of them by default. */
  readonly names?: readonly string[];
  readonly tag?: string | undefined;
  readonly registry?: string | undefined;
  readonly debian?: boolean;
  readonly archive?: string | undefined;
  readonly push?: boolean;
  readonly values?: string | undefined;
  readonly engine?: string | undefined;
}

/** Throws a sentence. Undefined: help was asked for. */
function readOptions(args: readonly string[]): ImageOptions | undefined {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      tag: { type: 'string' },
      registry: { type: 'string' },
      base: { type: 'string' },
      archive: { type: 'string' },
      push: { type: 'boolean' },
      values: { type: 'string' },
      engine: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  if (values.help === true) return undefined;
  const known = [...workspaces().keys()];
  for (const name of positionals)
    if (!known.includes(name))
      throw new TypeError(`there is no image "${name}": there are ${known.join(', ')}`);
  if (values.base !== undefined && values.base !== 'debian')
    throw new TypeError(
      `--base takes debian, not "${values.base}"; NODE_IMAGE and BASE_IMAGE name any other`,
    );
  if (values.values !== undefined && values.push !== true)
    throw new TypeError('--values needs --push: a digest is what a registry knows an image by');
  if (values.values !== undefined && positionals.length > 0)
    throw new TypeError('--values is for all images: name none');
  const { base, ...options } = values;
  return { ...options, ...(positionals.length > 0 && { names: positionals }), debian: base === 'debian' };
}

const git = (...args: string[]): string => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();

export async function buildImages(options: ImageOptions, context: Context): Promise<void> {
  const { report } = context;
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const { names = [...workspaces().keys()], tag = version } = options;
  const registry = options.registry === undefined ? '' : `${options.registry.replace(/\/$/, '')}/`;
  const engine = await findEngine(options.engine, root, context);
  const { NODE_IMAGE, BASE_IMAGE, SOURCE_DATE_EPOCH } = process.env;
  const made = options.debian === true ? await debianBase(engine, root, context) : undefined;
  const args = {
    ...(made === undefined ? {} : { NODE_IMAGE: made.node, BASE_IMAGE: made.base }),
    ...(NODE_IMAGE === undefined ? {} : { NODE_IMAGE }),
    ...(BASE_IMAGE === undefined ? {} : { BASE_IMAGE }),
    VERSION: tag,
    REVISION: git('rev-parse', 'HEAD'),
  };
  const epoch = SOURCE_DATE_EPOCH ?? git('log', '-1', '--format=%ct');
  if (options.archive !== undefined) mkdirSync(options.archive, { recursive: true });
  const digests = new Map<string, string>();
  for (const name of names) {
    const image = `${registry}warren/${name}:${tag}`;
    const wanted = { image, epoch, args: { ...args, APP: workspaces().get(name) ?? '' } };
    const started = performance.now();
    await building(() => engine.build(wanted));
    const { megabytes, id } = await engine.describe(image);
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    report(name, `${image}, ${megabytes} MB, ${id}, ${seconds} s`);
    if (options.archive !== undefined) await engine.archive(image, join(options.archive, `${name}.tar`));
    if (options.push !== true) continue;
    const digest = await engine.push(wanted);
    digests.set(name, digest);
    report(name, `pushed as ${digest}`);
  }
  if (options.values !== undefined) writeValues(options.values, registry, digests);
}

if (import.meta.main)
  try {
    const options = readOptions(process.argv.slice(2));
    if (options === undefined) process.stdout.write(USAGE);
    else await buildImages(options, { report: printer(process.stdout) });
  } catch (error) {
    const told = [EnvironmentError, BrokenTreeError, TypeError].some((kind) => error instanceof kind);
    if (!told || !(error instanceof Error)) throw error;
    process.stderr.write(`images: ${error.message}\n`);
    process.exitCode = error instanceof TypeError ? 2 : 1;
  }
