/** KEDA out of its Go module, of the version that environment/go/keda pins: its definitions, and its programs. */
import { readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { run, succeeds } from './command.ts';
import type { Context } from './debian.ts';
import { EnvironmentError } from './errors.ts';
import { goBinaries, pinnedVersion } from './go.ts';

const MODULE = 'github.com/kedacore/keda/v2';

/** `v2.21.0` */
export const kedaVersion = (): string => pinnedVersion('keda', MODULE);

/** As objects to apply. The module lies in Go's own cache after the first time; nothing that it requires is fetched. */
export async function kedaDefinitions({ report, signal }: Context): Promise<Record<string, unknown>[]> {
  if (!(await succeeds('go', ['version'])))
    throw new EnvironmentError(
      'WARREN_ENVIRONMENT_UNAVAILABLE',
      "KEDA's definitions come as a Go module, and there is no Go (1.26 or newer) to fetch it with.",
    );
  const answer = await run('go', ['mod', 'download', '-json', `${MODULE}@${kedaVersion()}`], {
    ...{ part: 'keda', report, signal, what: 'downloading the definitions' },
    cwd: tmpdir(), // outside of any module
  });
  const folder = join((JSON.parse(answer) as { Dir: string }).Dir, 'config', 'crd', 'bases');
  const files = (await readdir(folder)).filter((file) => /^(eventing\.)?keda\.sh_/.test(file));
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')));
  return texts.map((text) => parse(text) as Record<string, unknown>);
}

/** The operator, and the adapter that serves `external.metrics.k8s.io`. */
export async function kedaBinaries(context: Context): Promise<{ operator: string; adapter: string }> {
  const packages = ['operator', 'adapter'].map((name) => `${MODULE}/cmd/${name}`);
  const folder = await goBinaries({ module: 'keda', packages, about: '15 min on 2 cores', ...context });
  return { operator: join(folder, 'operator'), adapter: join(folder, 'adapter') };
}
