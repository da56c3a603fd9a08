/** `npm run env:up`: the real parts, until Ctrl-C. `--kubernetes` for an API server too. */
import { startEnvironment } from '@warren/environment';

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort());

try {
  await using environment = await startEnvironment({
    kubernetes: !process.argv.includes('--no-kubernetes'),
    signal: stop.signal,
  });
  console.log(JSON.stringify(environment.endpoints, undefined, 2));
  console.log('Up. Ctrl-C ends it.');
  if (!stop.signal.aborted) {
    // A timer keeps the process alive; a signal listener does not.
    const alive = setInterval(() => {}, 60_000);
    await new Promise((resolve) => stop.signal.addEventListener('abort', resolve));
    clearInterval(alive);
  }
} catch (error) {
  if (!stop.signal.aborted) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
