/** KEDA's custom resource definitions, out of its Go module: the real ones, of a version that is pinned here. */
import { readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { run, succeeds } from './command.ts';
import type { Context } from './debian.ts';
import { EnvironmentError } from './errors.ts';

const MODULE = 'github.com/kedacore/keda/v2@v2.21.0';

/** As objects to apply. The module lies in Go's own cache after the first time. */
export async function kedaDefinitions({ report, signal }: Context): Promise<Record<string, unknown>[]> {
  if (!(await succeeds('go', ['version'])))
    throw new EnvironmentError(
      'WARREN_ENVIRONMENT_UNAVAILABLE',
      "KEDA's definitions come as a Go module, and there is no Go (1.26 or newer) to fetch it with.",
    );
  const answer = await run('go', ['mod', 'download', '-json', MODULE], {
    ...{ part: 'keda', report, signal, what: 'downloading the definitions' },
    cwd: tmpdir(), // outside of any module
  });
  const folder = join((JSON.parse(answer) as { Dir: string }).Dir, 'config', 'crd', 'bases');
  const files = (await readdir(folder)).filter((file) => file.startsWith('keda.sh_'));
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')));
  return texts.map((text) => parse(text) as Record<string, unknown>);
}
