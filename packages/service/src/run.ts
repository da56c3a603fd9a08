/**
 * The main function of a service: `node src/main.ts` starts it, `node src/main.ts --replay` rebuilds its read models.
 */
import type { z } from 'zod';
import type { ServiceDefinition } from './definition.ts';
import { SettingsError } from './errors.ts';
import { describeError } from './log.ts';
import { replayService } from './replay.ts';
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
  const interrupted = new AbortController();
  process.once('SIGINT', () => {
    interrupted.abort(new Error('interrupted'));
  });
  const line = (done: number, total: number, rate: number) =>
    `${definition.name}: ${done} of ${total} (${Math.round(rate)}/s)`;
  const last = await replayService(definition, {
    signal: interrupted.signal,
    onProgress: ({ done, total, ratePerSecond }) => {
      if (process.stdout.isTTY) process.stdout.write(`\r\u001b[K${line(done, total, ratePerSecond)}`);
    },
  });
  if (process.stdout.isTTY) process.stdout.write('\r\u001b[K');
  process.stdout.write(`${line(last.done, last.total, last.ratePerSecond)}, read models rebuilt\n`);
}
