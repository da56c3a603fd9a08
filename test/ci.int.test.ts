/** The workflows of .github: checked by actionlint, and what they promise where a runner of GitHub is not needed for it. */
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { goBinaries, printer } from '@warren/environment';
import { parse } from 'yaml';
import { readValues } from '../scripts/images/pinned.ts';
import { execute, root } from './support/helm.ts';

interface Step {
  uses?: string;
  run?: string;
  with?: Record<string, unknown>;
  env?: Record<string, string>;
}

interface Job {
  steps: Step[];
  outputs?: object;
  permissions?: Record<string, string>;
}

const folder = '.github/workflows';
const workflows = readdirSync(join(root, folder));
const read = (path: string): unknown => parse(readFileSync(join(root, path), 'utf8'));
const jobsOf = (name: string) => (read(`${folder}/${name}`) as { jobs: Record<string, Job> }).jobs;
const stepsOf = (name: string) => Object.values(jobsOf(name)).flatMap(({ steps }) => steps);
const CI_PASSED = './.github/actions/ci-passed';

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
  expect(workflows.length).toBeGreaterThan(0);
  const paths = workflows.map((name) => `${folder}/${name}`);
  expect(await execute(actionlint, ['-no-color', ...paths])).toEqual({ code: 0, stdout: '', stderr: '' });
});

test('actionlint finds a mistake where there is one', async () => {
  const wrong =
    'on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: echo ${{ github.nothing }}\n';
  const { code, stdout } = await execute(actionlint, ['-no-color', '-'], { input: wrong });
  expect(code).toBe(1);
  expect(stdout).toContain('property "nothing" is not defined');
});

test('every action is of this repository, or of one commit', () => {
  const used = workflows.flatMap(stepsOf).flatMap(({ uses }) => uses ?? []);
  expect(used.filter((one) => one !== CI_PASSED && !/@[0-9a-f]{40}$/.test(one))).toEqual([]);
});

test('every tool that they install is of one version', () => {
  const commands = workflows.flatMap(stepsOf).flatMap(({ run }) => run ?? []);
  expect(commands.filter((run) => run.includes('@latest'))).toEqual([]);
});

test('every command of npm that they run is there', () => {
  const { scripts } = read('package.json') as { scripts: Record<string, string> };
  const run = workflows
    .flatMap(stepsOf)
    .flatMap(({ run: command = '' }) =>
      [...command.matchAll(/npm run (?:--silent )?([\w:]+)/g)].map(([, name]) => name),
    );
  expect(run.length).toBeGreaterThan(0);
  expect(run.filter((name) => scripts[name!] === undefined)).toEqual([]);
});

test('ci scans the images that it builds for that, and fails where a grave vulnerability has a fix', () => {
  const { steps } = jobsOf('ci.yaml')['scan']!;
  const [, tag, names = ''] = steps
    .map(({ run = '' }) => /npm run images .*--tag (\S+) (.+)$/.exec(run))
    .find((found) => found !== null)!;
  const scans = steps.filter(({ uses }) => uses?.startsWith('anchore/scan-action@'));
  expect(scans.map(({ with: given }) => given)).toEqual(
    names.split(' ').map((name) => ({
      ...{ image: `warren/${name}:${tag}`, 'severity-cutoff': 'high', 'only-fixed': true },
      'output-format': 'table',
    })),
  );
  expect(names.split(' ')).toEqual(['operator', expect.any(String)]);
});

describe('what is released or deployed', () => {
  test.each([
    ['release.yaml', 'check'],
    ['deploy.yaml', 'images'],
  ])('by %s has passed ci, however it was started', (workflow, name) => {
    const { steps, permissions } = jobsOf(workflow)[name]!;
    const asked = steps.findIndex(({ uses }) => uses === CI_PASSED);
    expect(steps[asked]).not.toHaveProperty('if');
    expect(permissions).toMatchObject({ actions: 'read' });
    expect(asked).toBeGreaterThan(0);
    const built = steps.findIndex(({ run }) => run?.includes('npm run images'));
    expect(built === -1 || asked < built).toBe(true);
  });

  test.each([
    ['0', 1],
    ['1', 0],
  ])('when ci has passed on its commit %s times ends with %s', async (passed, code) => {
    const { steps } = (read(`${CI_PASSED}/action.yml`) as { runs: { steps: Step[] } }).runs;
    const bin = mkdtempSync(join(tmpdir(), 'warren-gh-'));
    try {
      // Asked of another commit it would say something else, and of a branch that is not merged too: that has a run of its own.
      writeFileSync(
        join(bin, 'gh'),
        `#!/bin/sh\ncase "$*" in *"--commit abc --event push "*) echo ${passed};; *) exit 9;; esac\n`,
      );
      chmodSync(join(bin, 'gh'), 0o755);
      const env = { PATH: `${bin}:${process.env['PATH']}`, COMMIT: 'abc', GITHUB_REPOSITORY: 'team/warren' };
      expect(await execute('bash', ['-e', '-c', steps[0]!.run!], { env })).toMatchObject({ code });
    } finally {
      rmSync(bin, { recursive: true, force: true });
    }
  });

  test('travels to staging and production as files, of which every digest is insisted on', () => {
    const { images, ...environments } = jobsOf('deploy.yaml');
    // GitHub drops one in which it finds the text of a secret.
    expect(images).not.toHaveProperty('outputs');
    const upload = images!.steps.find(({ uses }) => uses?.startsWith('actions/upload-artifact@'));
    expect(upload?.with).toMatchObject({ 'if-no-files-found': 'error' });
    expect(Object.keys(environments)).toEqual(['staging', 'production']);
    for (const { steps } of Object.values(environments)) {
      const download = steps.find(({ uses }) => uses?.startsWith('actions/download-artifact@'));
      expect(download?.with).toEqual({ name: upload?.with?.['name'], path: upload?.with?.['path'] });
      const deploys = steps.flatMap(({ run }) => run ?? []).filter((run) => run.includes('npm run deploy'));
      // Last goes first.
      expect(deploys).toEqual([
        expect.stringMatching(/^npm run deploy -- --values values --values digests --pinned --orders \d+$/),
      ]);
    }
  });

  test.each([
    ['', ''],
    ['replicas: 3', 'service: { imagePullSecrets: [{ name: pull }] }'],
  ])('is given what an environment has of its own: "%s"', async (warren, shop) => {
    const steps = stepsOf('deploy.yaml').filter(({ env }) => env?.['WARREN_VALUES'] !== undefined);
    expect(steps).toHaveLength(2);
    for (const { run, env } of steps) {
      expect(env).toMatchObject({
        WARREN_VALUES: '${{ vars.WARREN_VALUES }}',
        SHOP_VALUES: '${{ vars.SHOP_VALUES }}',
      });
      const work = mkdtempSync(join(tmpdir(), 'warren-values-'));
      try {
        const given = {
          RUNNER_TEMP: work,
          KUBECONFIG_TEXT: 'of a cluster',
          WARREN_VALUES: warren,
          SHOP_VALUES: shop,
        };
        const script = `cd '${work}'\n${run}`;
        expect(await execute('bash', ['-e', '-c', script], { env: given })).toMatchObject({ code: 0 });
        expect(readValues(join(work, 'values'))).toEqual({
          warren: parse(warren) ?? {},
          shop: parse(shop) ?? {},
        });
      } finally {
        rmSync(work, { recursive: true, force: true });
      }
    }
  });
});
