/** The charts with the very images that were pushed: their values, and what is missing in them. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';

const root = join(import.meta.dirname, '../..');
const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** The charts that have images. */
export const CHARTS = ['warren', 'shop'] as const;
export type Values = Record<(typeof CHARTS)[number], object>;

/** What there is an image of, and its workspace. */
export function workspaces(): Map<string, string> {
  const services = readdirSync(join(root, 'services')).sort();
  return new Map([
    ['operator', 'operator'],
    ...services.map((name): [string, string] => [name, `services/${name}`]),
  ]);
}

/**
 * The values of both charts that make them run these very images.
 * @throws {TypeError} when one has no digest: the chart would run what its tag names then, from wherever
 */
export function chartValues(registry: string, digests: ReadonlyMap<string, string>): Values {
  const image = (name: string) => ({ image: { digest: digests.get(name) } });
  const services = [...workspaces().keys()].filter((name) => name !== 'operator');
  const values = {
    warren: { image: { registry: registry.replace(/\/$/, ''), ...image('operator').image } },
    shop: {
      service: { image: { registry: registry.replace(/\/$/, '') } },
      services: Object.fromEntries(services.map((name) => [name, image(name)])),
    },
  };
  insistOnDigests([values]);
  return values;
}

export function writeValues(folder: string, registry: string, digests: ReadonlyMap<string, string>): void {
  const values = chartValues(registry, digests);
  mkdirSync(folder, { recursive: true });
  for (const chart of CHARTS) writeFileSync(join(folder, `${chart}.yaml`), stringify(values[chart]));
}

/** Throws a TypeError when a file is not there. */
export function readValues(folder: string): Values {
  const read = (chart: string): object => {
    const path = join(folder, `${chart}.yaml`);
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch (error) {
      throw new TypeError(`${folder}: there is no ${chart}.yaml in it`, { cause: error });
    }
    return (parse(text) ?? {}) as object;
  };
  return { warren: read('warren'), shop: read('shop') };
}

/** Throws a TypeError that names the images without a digest in values of which later ones go before earlier ones. */
export function insistOnDigests(given: readonly Values[]): void {
  const last = (chart: keyof Values, ...path: string[]) =>
    given
      .map((values) =>
        path.reduce<unknown>(
          (value, key) => (value as Record<string, unknown> | null | undefined)?.[key],
          values[chart],
        ),
      )
      .filter((digest) => digest !== undefined)
      .at(-1);
  const missing = [...workspaces().keys()].filter((name) => {
    const digest =
      name === 'operator'
        ? last('warren', 'image', 'digest')
        : last('shop', 'services', name, 'image', 'digest');
    return typeof digest !== 'string' || !DIGEST.test(digest);
  });
  if (missing.length > 0) throw new TypeError(`no digest is given for the image of ${missing.join(', ')}`);
}
