/** `npm run cluster:up`: a Kubernetes with nodes and real pods, until Ctrl-C. See USAGE. */
import { parseArgs } from 'node:util';
import { bringUpCluster, EnvironmentError, loadImages, printer } from '@warren/environment';

const USAGE = `npm run cluster:up [-- options] [archive ...]: a Kubernetes with real pods on this machine, until Ctrl-C

  --nodes N   how many nodes, which share this machine (1)
  --help

  archive     images to make known to the nodes, as npm run images -- --archive FOLDER writes them

By kind where a Docker engine runs; else, as root on Debian, out of Debian's packages and Go modules.
WARREN_KEEP=1 leaves data and logs.
`;

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort());

try {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { nodes: { type: 'string', default: '1' }, help: { type: 'boolean' } },
  });
  const nodes = Number(values.nodes);
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > 5)
    throw new TypeError(`--nodes takes a number from 1 to 5, not "${values.nodes}"`);
  if (values.help === true) process.stdout.write(USAGE);
  else await up(nodes, positionals);
} catch (error) {
  if (!stop.signal.aborted) {
    if (!(error instanceof EnvironmentError || error instanceof TypeError)) throw error;
    console.error(error.message);
    process.exitCode = error instanceof TypeError ? 2 : 1;
  }
}

async function up(nodes: number, archives: readonly string[]): Promise<void> {
  const context = { report: printer(), signal: stop.signal };
  await using cluster = await bringUpCluster({ nodes, ...context });
  const { endpoints } = cluster;
  for (const archive of archives) await loadImages(endpoints, archive, context);
  console.log(
    `Up. Ctrl-C ends it, or npm run cluster:down.\n\n  export KUBECONFIG=${endpoints.kubeconfig}\n`,
  );
  if (stop.signal.aborted) return;
  // A timer keeps the process alive; a signal listener does not.
  const alive = setInterval(() => {}, 60_000);
  await new Promise((resolve) => stop.signal.addEventListener('abort', resolve));
  clearInterval(alive);
}
