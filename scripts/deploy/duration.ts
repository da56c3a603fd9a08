const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Of a duration as helm takes it: `1.5h`, `1m05s`. NaN where it is none. */
export function durationMs(text: string): number {
  if (!/^([\d.]+(ms|s|m|h))+$/.test(text)) return Number.NaN;
  return [...text.matchAll(/([\d.]+)(ms|s|m|h)/g)].reduce(
    (sum, [, count, unit = '']) => sum + Number(count) * (unitMs[unit] ?? 0),
    0,
  );
}
