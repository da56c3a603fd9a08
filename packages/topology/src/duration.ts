/** Durations as people write them: a whole number and one unit. `500ms`, `1s`, `5m`, `2h`, `14d`. */

const UNITS = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000, ms: 1 } as const;

/** Milliseconds. Throws RangeError, with a sentence that says what to write, for anything else than a duration. */
export function parseDuration(text: string): number {
  const [, number, unit] = /^(0|[1-9][0-9]{0,14})(ms|s|m|h|d)$/.exec(text) ?? [];
  if (number === undefined || unit === undefined)
    throw new RangeError(
      `"${text}" is not a duration: write a whole number with ms, s, m, h or d, such as 500ms or 14d`,
    );
  return Number(number) * UNITS[unit as keyof typeof UNITS];
}
