/** A command that runs the tests of one jest project on parts that it brings up for them. Ctrl-C ends it with all of them. */
import { EnvironmentError, printer, type Context } from '@warren/environment';
import { runNode } from './child.ts';
import { jest } from './jest-runs.ts';

/** `main` gets the arguments of the command, and a signal that ends it; what it rejects with is said, and is exit code 1. */
export async function testCommand(
  usage: string,
  main: (args: string[], context: Context & { signal: AbortSignal }) => Promise<void>,
): Promise<void> {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => stop.abort(new Error(`ended by ${signal}`)));
  const args = process.argv.slice(2);
  if (args.includes('--help')) {
    process.stdout.write(usage);
    return;
  }
  try {
    await main(args, { report: printer(process.stdout), signal: stop.signal });
  } catch (error) {
    if (!stop.signal.aborted) console.error(error instanceof EnvironmentError ? error.message : error);
    process.exitCode = 1;
  }
}

/** The tests that `args` mean, one after the other, with jest's own words; the exit code says whether they passed. */
export async function runProject(
  project: string,
  args: readonly string[],
  { env = {}, signal }: { env?: object; signal: AbortSignal },
): Promise<void> {
  const options = [...jest, ...args, '--selectProjects', project, '--runInBand'];
  const { code } = await runNode(options, { output: 'inherit', env, signal });
  process.exitCode = code === 0 ? 0 : 1;
}
