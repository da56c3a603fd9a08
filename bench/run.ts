/**
 * `npm run bench -- <name> [--option value …]`: one line of JSON for each result, ratios of alternating runs, on the parts
 * that run already (`npm run env:up`). Every file beside this one may export `benches`.
 */
import { readdir } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';
import { asksForHelp, checkOptions, helpOf, listOf } from './help.ts';
import { parseOptions, type Bench } from './measure.ts';

const all = new Map<string, Bench>();
for (const file of (await readdir(import.meta.dirname)).sort()) {
  if (!/^\w[^.]*\.ts$/.test(file) || file === 'run.ts') continue;
  const { benches = {} } = (await import(`./${file}`)) as { benches?: Record<string, Bench> };
  for (const [name, bench] of Object.entries(benches)) all.set(name, bench);
}

const args = process.argv.slice(2);
const [name = '', ...rest] = args;
const bench = all.get(name);
if (asksForHelp(args)) console.log(bench === undefined ? listOf(all) : helpOf(name, bench));
else if (bench === undefined) {
  console.error(listOf(all));
  process.exitCode = 64;
} else {
  const options = parseOptions(rest);
  checkOptions(name, bench, options);
  // What else the machine does is a part of the result.
  const machine = { cores: availableParallelism(), loadBefore: Number(loadavg()[0]?.toFixed(2)) };
  for await (const result of bench.run(options))
    console.log(JSON.stringify({ bench: name, ...result, ...machine }));
}
