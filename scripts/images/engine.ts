/** What builds images: docker, or buildah, which needs no daemon. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { debianTool, EnvironmentError, run, succeeds, type Context } from '@warren/environment';

export interface Build {
  image: string;
  /** SOURCE_DATE_EPOCH, in seconds. */
  epoch: string;
  args: Readonly<Record<string, string>>;
}

export interface Engine {
  readonly name: 'docker' | 'buildah';
  build(build: Build): Promise<void>;
  /** `id` is the beginning of the image's own digest: equal for equal content. */
  describe(image: string): Promise<{ megabytes: number; id: string }>;
  has(image: string): Promise<boolean>;
  archive(image: string, file: string): Promise<void>;
  /** Gives back the digest that the registry has it under: `sha256:…`. Docker adds an SBOM and provenance. */
  push(build: Build): Promise<string>;
}

/** The one asked for, else docker where its engine runs, else buildah, which is installed where that can be done. */
export async function findEngine(
  wanted: string | undefined,
  root: string,
  context: Context,
): Promise<Engine> {
  const dockerRuns = wanted !== 'buildah' && (await succeeds('docker', ['info']));
  if (wanted === 'docker' && !dockerRuns)
    throw new EnvironmentError(
      'WARREN_ENVIRONMENT_UNAVAILABLE',
      'no Docker engine runs here; --engine buildah needs none',
    );
  if (wanted !== undefined && wanted !== 'docker' && wanted !== 'buildah')
    throw new TypeError(`--engine takes docker or buildah, not "${wanted}"`);
  if (dockerRuns) return docker(root, context);
  if (!(await succeeds('buildah', ['--version']))) {
    if (!existsSync('/usr/bin/apt-get') || process.getuid?.() !== 0)
      throw new EnvironmentError(
        'WARREN_ENVIRONMENT_UNAVAILABLE',
        'there is neither a Docker engine nor buildah: install one of them',
      );
    await debianTool('buildah', context);
  }
  return buildah(root, context);
}

function secretArgs(): string[] {
  const { NPM_CONFIG_USERCONFIG, NODE_EXTRA_CA_CERTS } = process.env;
  const npmrc = NPM_CONFIG_USERCONFIG ?? join(homedir(), '.npmrc');
  return [
    ...(existsSync(npmrc) ? [`--secret=id=npmrc,src=${npmrc}`] : []),
    ...(NODE_EXTRA_CA_CERTS && existsSync(NODE_EXTRA_CA_CERTS)
      ? [`--secret=id=ca,src=${NODE_EXTRA_CA_CERTS}`]
      : []),
  ];
}

const buildArgs = (args: Readonly<Record<string, string>>): string[] =>
  Object.entries(args).map(([name, value]) => `--build-arg=${name}=${value}`);

const partOf = (image: string): string => /([^/]+):[^:]*$/.exec(image)?.[1] ?? image;

function docker(root: string, { report, signal }: Context): Engine {
  const call = (args: string[], image: string, what: string) =>
    run('docker', args, { part: partOf(image), report, signal, what, cwd: root });
  return {
    name: 'docker',
    build: async ({ image, epoch, args }) => {
      const given = buildArgs({ ...args, SOURCE_DATE_EPOCH: epoch });
      await call(
        ['buildx', 'build', '--load', ...given, ...secretArgs(), '--tag', image, '.'],
        image,
        'building',
      );
    },
    describe: async (image) => {
      const [size = '0', id = ''] = (
        await call(['image', 'inspect', '--format', '{{.Size}} {{.Id}}', image], image, 'looking at it')
      )
        .trim()
        .split(' ');
      return { megabytes: Math.round(Number(size) / 1e6), id: id.slice(0, 19) };
    },
    has: (image) => succeeds('docker', ['image', 'inspect', image]),
    archive: async (image, file) => {
      await call(['save', '--output', file, image], image, `writing ${file}`);
    },
    // Built by BuildKit once more, out of its cache: it makes the attestations, and only an export can set the times of files.
    push: async ({ image, epoch, args }) => {
      const given = buildArgs({ ...args, SOURCE_DATE_EPOCH: epoch });
      const attestations = ['--sbom=true', '--provenance=mode=max'];
      const output = '--output=type=image,push=true,rewrite-timestamp=true';
      return withFile(async (file) => {
        await call(
          [
            ...['buildx', 'build', output, ...attestations, `--metadata-file=${file}`],
            ...[...given, ...secretArgs(), '--tag', image, '.'],
          ],
          image,
          'pushing',
        );
        const metadata = JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>;
        const digest = metadata['containerimage.digest'];
        if (digest === undefined)
          throw new EnvironmentError('WARREN_ENVIRONMENT_BUILD', `docker tells no digest of ${image}`);
        return digest;
      });
    },
  };
}

function buildah(root: string, { report, signal }: Context): Engine {
  const call = (args: string[], image: string, what: string) =>
    // A build that is cut off leaves no mount and no process.
    run('buildah', args, { part: partOf(image), report, signal, what, cwd: root, contained: true });
  return {
    name: 'buildah',
    build: async ({ image, epoch, args }) => {
      await call(
        // chroot: needs no container runtime, which cannot run everywhere that buildah does. force-rm: it would leave the
        // container of a stage that adds nothing to its base.
        [
          ...['build', '--isolation=chroot', '--layers', '--force-rm', `--timestamp=${epoch}`],
          ...[...buildArgs(args), ...secretArgs(), '--tag', image, '.'],
        ],
        image,
        'building',
      );
    },
    describe: async (image) => {
      const [found] = JSON.parse(await call(['images', '--json', image], image, 'looking at it')) as [
        { size: string; id: string },
      ];
      const [, size = '0', unit = ''] = /^([\d.]+) ?(\w+)$/.exec(found.size) ?? [];
      const factor = { GB: 1000, MB: 1, KB: 0.001 }[unit] ?? 0;
      return { megabytes: Math.round(Number(size) * factor), id: `sha256:${found.id.slice(0, 12)}` };
    },
    has: (image) => succeeds('buildah', ['inspect', '--type=image', image]),
    archive: async (image, file) => {
      // `localhost/` is buildah's own; in an archive the image has the name that a manifest gives it.
      const named =
        image.includes('.') && image.indexOf('.') < image.indexOf('/') ? image : `docker.io/${image}`;
      rmSync(file, { force: true }); // it adds to none
      await call(['push', '--quiet', image, `docker-archive:${file}:${named}`], image, `writing ${file}`);
    },
    push: ({ image }) =>
      withFile(async (file) => {
        await call(['push', '--quiet', `--digestfile=${file}`, image], image, 'pushing');
        return readFileSync(file, 'utf8').trim();
      }),
  };
}

/** With a file of its own for a command to write into. */
async function withFile<T>(use: (file: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'warren-image-'));
  try {
    return await use(join(folder, 'result'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
