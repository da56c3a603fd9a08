/** What all benchmarks share: their options, and fair comparisons on a machine that does other things as well. */

export interface Bench {
  /** One line for the list. */
  about: string;
  /** By name, without dashes: what it is, and what it is unless given. Others are refused. */
  options: Readonly<Record<string, string>>;
  /** Yields results as they come; each becomes a line. */
  run(options: Options): AsyncIterable<Record<string, unknown>>;
}

/** `--count 5 --peer`: `{ count: '5', peer: true }` */
export type Options = Readonly<Record<string, string | true>>;

export function parseOptions(args: string[]): Options {
  const options: Record<string, string | true> = {};
  for (let i = 0; i < args.length; i += 1) {
    const name = args[i] ?? '';
    if (!name.startsWith('--'))
      throw new Error(`unexpected ${JSON.stringify(name)}: options are --name value`);
    const value = args[i + 1];
    const hasValue = value !== undefined && !value.startsWith('--');
    options[name.slice(2)] = hasValue ? value : true;
    if (hasValue) i += 1;
  }
  return options;
}

export function numberOption(options: Options, name: string, otherwise: number): number {
  const given = options[name];
  const value = given === undefined ? otherwise : Number(given);
  if (!Number.isFinite(value) || value <= 0) throw new Error(`--${name} must be a positive number`);
  return value;
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

export interface Comparison {
  /** Medians, in units a second. */
  ours: number;
  theirs: number;
  /** The median of ours / theirs, round by round: what disturbs the machine for long disturbs both. */
  ratio: number;
  ratios: number[];
}

/**
 * Runs both in turn, the one that begins alternating, until `rounds` are done or the time is over (at least one round).
 * Each gives back how many units a second it did.
 */
export async function alternate(
  ours: () => Promise<number>,
  theirs: () => Promise<number>,
  { rounds, withinMs }: { rounds: number; withinMs: number },
): Promise<Comparison> {
  const until = performance.now() + withinMs;
  const results: { ours: number; theirs: number }[] = [];
  // The first run of each only warms up.
  await theirs();
  await ours();
  do {
    const oursFirst = results.length % 2 === 0;
    const first = await (oursFirst ? ours() : theirs());
    const second = await (oursFirst ? theirs() : ours());
    results.push(oursFirst ? { ours: first, theirs: second } : { ours: second, theirs: first });
  } while (results.length < rounds && performance.now() < until);
  const ratios = results.map((round) => round.ours / round.theirs);
  return {
    ours: Math.round(median(results.map((round) => round.ours))),
    theirs: Math.round(median(results.map((round) => round.theirs))),
    ratio: Number(median(ratios).toFixed(3)),
    ratios: ratios.map((ratio) => Number(ratio.toFixed(3))),
  };
}
