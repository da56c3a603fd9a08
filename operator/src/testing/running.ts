/** For tests: an operator that runs until it is stopped, once, whoever asks for it. */
import type { Operator } from '../operator.ts';

/** @param end closes what the operator was given, after it */
export function running(operator: Operator, end: () => Promise<void>): () => Promise<void> {
  const ending = new AbortController();
  const ended = operator.run(ending.signal);
  let stopping: Promise<void> | undefined;
  return () => {
    ending.abort();
    stopping ??= ended.finally(end);
    return stopping;
  };
}
