/** Binaries built from Go modules that are pinned here (`environment/go/<module>`), once a machine. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cached, cacheKey } from './cache.ts';
import { run, succeeds } from './command.ts';
import type { Context } from './debian.ts';
import { repositoryRoot } from './endpoints.ts';
import { EnvironmentError } from './errors.ts';

export interface GoBinary extends Context {
  /** Folder under `environment/go`. */
  module: string;
  /** Files of the module that the result follows from, besides go.mod and go.sum. */
  sources?: readonly string[];
  packages: readonly string[];
  ldflags?: string;
  /** About how long it takes cold, for people. */
  about: string;
}

const folderOf = (module: string) => join(repositoryRoot, 'environment/go', module);

/** Of what the module requires, such as `v2.21.0`: it is pinned there and nowhere else. */
export function pinnedVersion(module: string, required: string): string {
  const words = readFileSync(join(folderOf(module), 'go.mod'), 'utf8').split(/\s+/);
  const at = words.indexOf(required);
  const version = at < 0 ? undefined : words[at + 1];
  if (version === undefined) throw new TypeError(`environment/go/${module}/go.mod requires no ${required}`);
  return version;
}

/** The folder with one binary a package. */
export async function goBinaries(options: GoBinary): Promise<string> {
  const { module, packages, sources = [], ldflags = '', report, signal } = options;
  const cwd = folderOf(module);
  const inputs = ['go.mod', 'go.sum', ...sources].map((file) => readFileSync(join(cwd, file), 'utf8'));
  const key = cacheKey(...inputs, ...packages, ldflags, process.arch);
  const build = async (draft: string) => {
    if (!(await succeeds('go', ['version']))) {
      throw new EnvironmentError(
        'WARREN_ENVIRONMENT_UNAVAILABLE',
        `${module}: no Docker engine or URL provides it, and there is no Go (1.26 or newer) to build it with.`,
      );
    }
    const started = performance.now();
    const env = { CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false' };
    const common = { part: module, report, signal, cwd, env };
    report(module, `building from Go modules (cold about ${options.about}; later instant)`);
    const all = await run('go', ['list', '-deps', ...packages], {
      ...common,
      what: 'downloading modules',
    });
    const total = all.split('\n').filter(Boolean).length;
    for (const name of packages) {
      let compiled = 0;
      await run('go', ['build', '-v', '-ldflags', `-s -w ${ldflags}`, '-o', `${draft}/`, name], {
        ...common,
        what: `building ${name}`,
        show: (line) => {
          if (line.startsWith('go: ')) return line;
          compiled += 1;
          return `${compiled} of at most ${total} packages (${Math.floor((100 * compiled) / total)} %)`;
        },
      });
    }
    report(module, `built in ${((performance.now() - started) / 1000).toFixed(0)} s`);
  };
  return cached(module, key, build, { report, signal });
}
