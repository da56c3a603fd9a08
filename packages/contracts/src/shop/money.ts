/** Money is a number with at most two decimals outside, and integer cents wherever something is computed. */

/** 12.5 -> 1250 */
export function toCents(amount: number): number {
  return Math.round(amount * 100);
}

/** 1250 -> 12.5 */
export function fromCents(cents: number): number {
  return cents / 100;
}

/** What order lines cost together. */
export function totalOf(lines: readonly { readonly quantity: number; readonly unitPrice: number }[]): number {
  return fromCents(lines.reduce((cents, line) => cents + line.quantity * toCents(line.unitPrice), 0));
}
