/**
 * What a failure says to a reflector of the place from which it watches.
 *
 * | failure     | is                                                                                 | the place is |
 * | ----------- | ---------------------------------------------------------------------------------- | ------------ |
 * | `expired`   | 410, Expired, or (the server was restored from a backup) a version that never came | lost         |
 * | `undefined` | 404: the server does not know the resource                                         | lost         |
 * | `silent`    | a watch that never said a word, at the end of a silence that took too long         | lost         |
 * | `passing`   | anything else                                                                      | still good   |
 */
import { GoneError, KubernetesError, NotFoundError, RequestTimeoutError } from './errors.ts';

export type Failure = 'expired' | 'undefined' | 'silent' | 'passing';

export interface Silence {
  /** A watch that was open, and has ended without a word. Neither a list nor a watch that was refused is one. */
  ofThisWatch: boolean;
  /** Since the last word, be it of this watch, of one before it or of a list. */
  lastedMs: number;
  tooLongMs: number;
}

export function failureOf(error: unknown, { ofThisWatch, lastedMs, tooLongMs }: Silence): Failure {
  if (error instanceof GoneError || isOfTheFuture(error)) return 'expired';
  if (error instanceof NotFoundError) return 'undefined';
  const tooLong = error instanceof RequestTimeoutError || lastedMs >= tooLongMs;
  return ofThisWatch && tooLong ? 'silent' : 'passing';
}

function isOfTheFuture(error: unknown): boolean {
  return (
    error instanceof KubernetesError &&
    error.causes.some(({ reason }) => reason === 'ResourceVersionTooLarge')
  );
}
