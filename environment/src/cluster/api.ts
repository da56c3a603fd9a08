/** The little of the Kubernetes API that bringing a cluster up takes: kubectl, with a kubeconfig, and what it says. */
import { run } from '../command.ts';
import type { Context } from '../debian.ts';
import { EnvironmentError } from '../errors.ts';

export interface Kubectl {
  /** Gives back stdout. Rejects with `WARREN_ENVIRONMENT_BUILD` and what it wrote. */
  (...args: readonly string[]): Promise<string>;
}

export const kubectlWith =
  (binary: string, kubeconfig: string, context: Context): Kubectl =>
  (...args) =>
    run(binary, [`--kubeconfig=${kubeconfig}`, ...args], {
      part: 'cluster',
      what: `kubectl ${args[0]}`,
      ...context,
    });

/** Waits until the question is answered with true; a question that fails is asked again. */
export async function until(
  question: () => Promise<boolean>,
  options: { what: string; timeoutMs: number; signal: AbortSignal | undefined; why: () => string },
): Promise<void> {
  const end = performance.now() + options.timeoutMs;
  let last: unknown;
  for (;;) {
    options.signal?.throwIfAborted();
    try {
      if (await question()) return;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end)
      throw new EnvironmentError(
        'WARREN_ENVIRONMENT_START',
        `${options.what}: not after ${options.timeoutMs / 1000} s. ${options.why()}`,
        { cause: last },
      );
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}
