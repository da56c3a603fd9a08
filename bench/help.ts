/** What `npm run bench` says of itself, and which options a bench knows. Pure. */
import type { Bench, Options } from './measure.ts';

const USAGE = 'npm run bench -- <name> [--option value …]';

/** Every bench in a line. */
export function listOf(benches: ReadonlyMap<string, Bench>): string {
  const width = widest([...benches.keys()]);
  const lines = [...benches].map(([name, { about }]) => `  ${name.padEnd(width)}${about}`);
  return [USAGE, '', ...lines, '', 'npm run bench -- <name> --help tells its options'].join('\n');
}

/** One bench with its options. */
export function helpOf(name: string, { about, options }: Bench): string {
  const width = widest(Object.keys(options)) + 2;
  const lines = Object.entries(options).map(([option, what]) => `  ${`--${option}`.padEnd(width)}${what}`);
  return [`npm run bench -- ${name} [--option value …]`, '', about, '', ...lines].join('\n');
}

/** `-h` is as good; anywhere among the arguments. */
export function asksForHelp(args: readonly string[]): boolean {
  return args.some((arg) => arg === '--help' || arg === '-h' || arg === 'help');
}

/** @throws Error where a bench does not know an option: what is misspelt would be measured with its default */
export function checkOptions(name: string, { options: known }: Bench, given: Options): void {
  const unknown = Object.keys(given).find((option) => !Object.hasOwn(known, option));
  if (unknown === undefined) return;
  const all = Object.keys(known).map((option) => `--${option}`);
  throw new Error(`the bench ${name} has no option --${unknown}: it has ${all.join(', ')}`);
}

function widest(words: readonly string[]): number {
  return Math.max(...words.map(({ length }) => length)) + 2;
}
