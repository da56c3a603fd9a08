#!/usr/bin/env -S node --conditions=warren-source --disable-warning=ExperimentalWarning
/**
 * The operator's command line. Exit codes: 0 as it should be, 1 it failed (or `validate` found mistakes), 2 it was not
 * understood. Those of `plan`: 0 no change, 2 changes, 1 anything else.
 *
 * Each command loads what it needs: who runs for months does without what `plan` takes, which is as much as all the rest.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { shutdownSignal } from '@warren/controller';
import { HELP, parseCommand } from './cli.ts';
import { OperatorError, UsageError } from './errors.ts';
import { createLog } from './log.ts';
import { safeText } from './plan/safe-text.ts';
import { run } from './run.ts';
import { readSettings } from './settings.ts';

async function main(args: readonly string[]): Promise<number> {
  const command = parseCommand(args);
  switch (command.command) {
    case 'help':
      process.stdout.write(HELP);
      return 0;
    case 'version':
      process.stdout.write(`${version()}\n`);
      return 0;
    case 'validate': {
      const [{ validateFiles }, { readValidators }] = await Promise.all([
        import('./validate.ts'),
        import('./validation/definitions.ts'),
      ]);
      const { crdDir } = readSettings(process.env);
      const { problems, valid } = await validateFiles(command.files, readValidators(crdDir));
      for (const problem of problems) process.stderr.write(`${problem}\n`);
      const found =
        problems.length === 0 ? '' : `, ${problems.length} mistake${problems.length === 1 ? '' : 's'}`;
      process.stdout.write(`${valid} valid resource${valid === 1 ? '' : 's'}${found}\n`);
      return problems.length === 0 ? 0 : 1;
    }
    case 'plan': {
      const [{ runPlan }, { readValidators }] = await Promise.all([
        import('./plan/command.ts'),
        import('./validation/definitions.ts'),
      ]);
      return await runPlan(command, {
        env: process.env,
        validators: readValidators(readSettings(process.env).crdDir),
        out: process.stdout,
        err: process.stderr,
        colour: process.stdout.isTTY && (process.env['NO_COLOR'] ?? '') === '',
      });
    }
    case 'run': {
      const settings = readSettings(process.env);
      const pretty = process.stdout.isTTY;
      const log = createLog({ level: settings.logLevel, pretty });
      const { signal, release } = shutdownSignal();
      try {
        await run(command, settings, { log, signal });
        return 0;
      } catch (error) {
        if (error instanceof UsageError) throw error;
        log.fatal(
          error instanceof OperatorError
            ? { code: error.code }
            : { error: error instanceof Error ? (error.stack ?? error.message) : String(error) },
          error instanceof Error ? error.message : String(error),
        );
        return 1;
      } finally {
        release();
      }
    }
  }
}

function version(): string {
  const manifest = readFileSync(join(import.meta.dirname, '..', 'package.json'), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`warren: ${safeText(error.message)}\n`);
  process.exitCode = process.argv[2] === 'plan' ? 1 : 2;
}
