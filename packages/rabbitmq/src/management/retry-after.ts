/** What a server, or who stands before it, asks for by `Retry-After`. */

/** Nobody is kept waiting longer, whatever is asked for: milliseconds. */
const LONGEST_MS = 60_000;

/**
 * Milliseconds from now: of a number of seconds, or of a date by our clock. 0 for what is neither, or over already.
 */
export function retryAfterMs(header: string | string[] | undefined, now = Date.now()): number {
  const text = (Array.isArray(header) ? header[0] : header)?.trim() ?? '';
  const ms = /^\d+$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - now;
  return Number.isNaN(ms) ? 0 : Math.min(Math.max(0, ms), LONGEST_MS);
}
