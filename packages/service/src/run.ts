/**
 * The main function of a service: `node src/main.ts` starts it, `node src/main.ts --replay` rebuilds its read models.
 */
import type { z } from 'zod';
import type { ServiceDefinition } from './definition.ts';
import { SettingsError } from './errors.ts';
import { describeError } from './log.ts';
import { replayService } from './replay.ts';
import type { ReplayProgress } from './replay.ts';
import { startService } from './service.ts';

/** Runs a service as this process; sets the exit code instead of throwing. */
export async function runService<Own extends z.ZodRawShape>(
  definition: ServiceDefinition<Own>,
  args: readonly string[] = process.argv.slice(2),
): Promise<void> {
  try {
    if (args.includes('--replay')) await replay(definition as unknown as ServiceDefinition);
    else await startService(definition, { signals: true });
  } catch (error) {
    const described = describeError(error);
    const text = error instanceof SettingsError ? error.message : JSON.stringify(described);
    process.stderr.write(`${definition.name}: ${text}\n`);
    process.exitCode = 1;
  }
}

async function replay(definition: ServiceDefinition): Promise<void> {
  const { name, projections = [] } = definition;
  if (projections.length === 0) {
    process.stdout.write(`${name}: there is no read model to rebuild.\n`);
    return;
  }
  const interrupted = new AbortController();
  const interrupt = () => {
    interrupted.abort(new Error('interrupted; the read models are as they were'));
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupt);
  const { isTTY } = process.stdout;
  let told = performance.now();
  const last = await replayService(definition, {
    signal: interrupted.signal,
    onProgress: (progress) => {
      // Each on the line of the one before; or, where nobody watches, a line a second.
      if (isTTY) process.stdout.write(`\r\u001b[K${lineOf(name, progress)}`);
      else if (performance.now() - told > 1000) {
        told = performance.now();
        process.stdout.write(`${lineOf(name, progress)}\n`);
      }
    },
  });
  const models = projections.map((projection) => projection.name).join(', ');
  process.stdout.write(`${isTTY ? '\r\u001b[K' : ''}${lineOf(name, last)}: rebuilt ${models}\n`);
}

function lineOf(name: string, { done, total, ratePerSecond }: ReplayProgress): string {
  const percent = total === 0 ? 100 : Math.floor((done / total) * 100);
  return `${name}: ${done} of ${total} commits, ${percent} %, ${Math.round(ratePerSecond)}/s`;
}
