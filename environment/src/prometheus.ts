/** A Prometheus of our own, out of Debian's package: for tests that ask what a dashboard would ask. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { debianBinary, type Context } from './debian.ts';
import { freePort } from './ports.ts';
import type { RunFolder } from './run-folder.ts';

export interface Prometheus extends AsyncDisposable {
  /** `http://127.0.0.1:port`; `/api/v1/query?query=…` answers. */
  url: string;
}

/** Starts one with the text of a prometheus.yml, and waits until it answers. */
export async function startPrometheus(
  folder: RunFolder,
  configuration: string,
  context: Context,
): Promise<Prometheus> {
  const binary = await debianBinary('prometheus', 'prometheus', 'usr/bin/prometheus', context);
  const port = await freePort();
  const data = folder.data('prometheus');
  const file = join(data, 'prometheus.yml');
  writeFileSync(file, configuration);
  const process = await folder.start({
    name: 'prometheus',
    command: [
      binary,
      `--config.file=${file}`,
      ...[`--web.listen-address=127.0.0.1:${port}`, `--storage.tsdb.path=${join(data, 'tsdb')}`],
      '--log.level=warn',
    ],
  });
  const url = `http://127.0.0.1:${port}`;
  try {
    await process.ready(async () => {
      const response = await fetch(`${url}/-/ready`, { signal: AbortSignal.timeout(5_000) });
      await response.arrayBuffer();
      return response.ok;
    }, context.signal);
  } catch (error) {
    await process.kill();
    throw error;
  }
  return { url, [Symbol.asyncDispose]: () => process.kill() };
}
