import { TimeLimitError } from './errors.ts';

/**
 * The result of `work`, or a {@link TimeLimitError} after `ms` milliseconds.
 * The work itself is not stopped: whoever starts it owns its end.
 */
export async function withTimeLimit<T>(what: string, ms: number, work: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new TimeLimitError(`${what} took longer than ${Math.round(ms)} ms`));
    }, ms);
  });
  try {
    return await Promise.race([work(), limit]);
  } finally {
    clearTimeout(timer);
  }
}
