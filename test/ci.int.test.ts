/** The workflows of .github, checked by actionlint. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from '@jest/globals';
import { goBinaries, printer } from '@warren/environment';
import { execute, root } from './support/helm.ts';

let actionlint: string;

beforeAll(async () => {
  const folder = await goBinaries({
    module: 'actionlint',
    sources: ['tools.go'],
    packages: ['github.com/rhysd/actionlint/cmd/actionlint'],
    about: '20 s on 2 cores',
    report: printer(),
  });
  actionlint = join(folder, 'actionlint');
}, 300_000);

test('actionlint finds nothing in any workflow', async () => {
  const workflows = (await readdir(join(root, '.github/workflows'))).map(
    (name) => `.github/workflows/${name}`,
  );
  expect(workflows.length).toBeGreaterThan(0);
  expect(await execute(actionlint, ['-no-color', ...workflows])).toEqual({ code: 0, stdout: '', stderr: '' });
});

test('actionlint finds a mistake where there is one', async () => {
  const wrong =
    'on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: echo ${{ github.nothing }}\n';
  const { code, stdout } = await execute(actionlint, ['-no-color', '-'], { input: wrong });
  expect(code).toBe(1);
  expect(stdout).toContain('property "nothing" is not defined');
});
