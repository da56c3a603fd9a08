/**
 * `npm run bench -- <name> [--option value …]`: one line of JSON for each result, ratios of alternating runs, on the parts
 * that run already (`npm run env:up`). Every file beside this one may export `benches`.
 */
import { readdir } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';
import { parseOptions, type Bench } from './measure.ts';

const all = new Map<string, Bench>();
for (const file of (await readdir(import.meta.dirname)).sort()) {
  if (!/^\w.*\.ts$/.test(file) || file === 'run.ts') continue;
  const { benches = {} } = (await import(`./${file}`)) as { benches?: Record<string, Bench> };
  for (const [name, bench] of Object.entries(benches)) all.set(name, bench);
}

const [name = '', ...rest] = process.argv.slice(2);
const bench = all.get(name);
if (bench === undefined) {
  console.error('npm run bench -- <name> [--option value …]\n');
  for (const [known, { about }] of all) console.error(`  ${known.padEnd(12)}${about}`);
  process.exitCode = 64;
} else {
  // What else the machine does is a part of the result.
  const machine = { cores: availableParallelism(), loadBefore: Number(loadavg()[0]?.toFixed(2)) };
  for await (const result of bench.run(parseOptions(rest)))
    console.log(JSON.stringify({ bench: name, ...result, ...machine }));
}
