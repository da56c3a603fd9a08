/** Images of what the environment has built already, as archives in the format of `docker save`, once a machine. */
import { createHash } from 'node:crypto';
import { createReadStream, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { cached } from '../cache.ts';
import { run } from '../command.ts';
import type { Context } from '../debian.ts';

/** Files of an image: the content of a folder, at a place, but for some of it. */
export interface Layer {
  folder: string;
  at?: string;
  /** Patterns of tar, from `./` on. */
  without?: readonly string[];
  /** The number of the user that owns all of it; as in the folder by default. */
  owner?: number;
}

export interface Image {
  /** As manifests name it, with a registry: `docker.io/library/mongo:8.0`. */
  name: string;
  layers: readonly Layer[];
  config: { Entrypoint: readonly string[]; Cmd?: readonly string[]; Env?: readonly string[]; User?: string };
}

/** Path of the archive with all of the images, made where it is not cached. `key` stands for what the layers hold. */
export async function archive(
  name: string,
  key: string,
  images: readonly Image[],
  context: Context,
): Promise<string> {
  const make = async (draft: string) => {
    context.report('images', `making ${images.map((image) => image.name).join(' and ')}`);
    const content = join(draft, 'content');
    mkdirSync(content);
    const manifest: object[] = [];
    /** File and digest by layer: two images on the same one share it. */
    const made = new Map<string, { file: string; digest: string }>();
    for (const [index, image] of images.entries()) {
      const layers: { file: string; digest: string }[] = [];
      for (const layer of image.layers) {
        const known = JSON.stringify(layer);
        const found = made.get(known) ?? (await writeLayer(layer, content, made.size, context));
        made.set(known, found);
        layers.push(found);
      }
      const config = `config-${index}.json`;
      const rootfs = { type: 'layers', diff_ids: layers.map(({ digest }) => `sha256:${digest}`) };
      const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
      writeFileSync(
        join(content, config),
        JSON.stringify({ architecture, os: 'linux', created: EPOCH, config: image.config, rootfs }),
      );
      manifest.push({ Config: config, RepoTags: [image.name], Layers: layers.map(({ file }) => file) });
    }
    writeFileSync(join(content, 'manifest.json'), JSON.stringify(manifest));
    const file = join(draft, 'image.tar');
    await tar(['--create', '--file', file, '--directory', content, '--remove-files', '.'], context);
    const megabytes = Math.round(statSync(file).size / 1e6);
    context.report('images', `made ${name}: ${megabytes} MB`);
  };
  return join(await cached(`image-${name}`, key, make, context), 'image.tar');
}

const EPOCH = '1970-01-01T00:00:00Z';

async function writeLayer(
  layer: Layer,
  content: string,
  index: number,
  context: Context,
): Promise<{ file: string; digest: string }> {
  const { folder, at, without = [], owner } = layer;
  const file = `layer-${index}.tar`;
  const path = join(content, file);
  await tar(
    [
      ...['--create', '--file', path, '--directory', folder, '--sort=name', '--numeric-owner', '--mtime=@0'],
      ...(owner === undefined ? [] : [`--owner=${owner}`, `--group=${owner}`]),
      // Where a symbolic link leads to stays as it is.
      ...(at === undefined ? [] : [`--transform=flags=rhS;s,^\\.,${at},`]),
      ...without.map((pattern) => `--exclude=${pattern}`),
      '.',
    ],
    context,
  );
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return { file, digest: hash.digest('hex') };
}

const tar = (args: readonly string[], context: Context) =>
  run('tar', args, { part: 'images', what: 'writing an image', ...context });
