/** A cluster leaves nothing behind, however the command that made it ends. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { currentCluster, endingWithUs } from '@warren/environment';
import { eventually } from '@warren/environment/testing';
import { root } from '../support/helm.ts';

/** By kind, containers are Docker's to remove. */
const ofOurs = currentCluster().machine === undefined ? test.skip : test;

const cgroups = (pid: number): string[] =>
  readdirSync('/sys/fs/cgroup')
    .map((controller) => join('/sys/fs/cgroup', controller, `warren-${pid}`))
    .concat(join('/sys/fs/cgroup', `warren-${pid}`))
    .filter((folder) => existsSync(folder));

/** Processes that have the name of the run's folder in their command. */
const processes = (folder: string): string[] =>
  readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(folder);
    } catch {
      return false;
    }
  });

ofOurs(
  'killed without warning, it leaves no process, no cgroup and no file',
  async () => {
    const state = mkdtempSync(join(tmpdir(), 'warren-cluster-'));
    try {
      const flags = ['--conditions=warren-source', '--disable-warning=ExperimentalWarning'];
      const up = endingWithUs(process.execPath, ...flags, join(root, 'scripts/cluster-up.ts'));
      const child = spawn(...up, {
        env: { ...process.env, WARREN_STATE_DIR: state, WARREN_ENDPOINTS: join(state, 'endpoints.json') },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let said = '';
      for (const stream of [child.stdout, child.stderr])
        stream.setEncoding('utf8').on('data', (text: string) => (said += text));
      const pid = child.pid ?? 0;
      // Pods run then: that of CoreDNS.
      await eventually(() => said.includes('Up. Ctrl-C ends it'), { timeoutMs: 240_000, intervalMs: 100 });
      expect(cgroups(pid)).not.toEqual([]);
      expect(processes(state)).not.toEqual([]);
      child.kill('SIGKILL');
      await once(child, 'close');
      const left = () => ({
        processes: processes(state),
        cgroups: cgroups(pid),
        runs: readdirSync(join(state, 'run')),
      });
      await eventually(() => Object.values(left()).every((each) => each.length === 0), {
        timeoutMs: 60_000,
        intervalMs: 100,
      });
      expect(left()).toEqual({ processes: [], cgroups: [], runs: [] });
    } finally {
      rmSync(state, { recursive: true, force: true });
    }
  },
  400_000,
);
