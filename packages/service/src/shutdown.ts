/**
 * The end of a service, in order and in time.
 *
 *   readiness down → (delay) → consumers stop, what is in flight finishes or goes back
 *                  → HTTP stops, requests in flight finish → the relay drains → connections close → spans are sent
 *
 * A step that fails is logged and the next one runs: what is left undone is what a crash would leave, and every part
 * survives a crash. A deadline holds over all of it; each step is told how much of it is left.
 */
import type { Logger } from './log.ts';
import { withTimeLimit } from './time-limit.ts';

/** One step. It gets the milliseconds that are left. */
export interface ShutdownStep {
  readonly name: string;
  readonly run: (leftMs: number) => Promise<void>;
}

/** How a shutdown ended. */
export interface ShutdownOutcome {
  /** The steps that failed or ran out of time; empty when all is well. */
  readonly failed: readonly string[];
  readonly ms: number;
}

/** Runs the steps one after the other, all within `deadlineMs`. Never rejects. */
export async function runShutdown(
  steps: readonly ShutdownStep[],
  deadlineMs: number,
  log: Logger,
): Promise<ShutdownOutcome> {
  const began = performance.now();
  const failed: string[] = [];
  for (const step of steps) {
    // Even past the deadline a step gets a moment, so that connections are at least told to close.
    const leftMs = Math.max(deadlineMs - (performance.now() - began), 50);
    try {
      await withTimeLimit(step.name, leftMs, () => step.run(leftMs));
    } catch (error) {
      failed.push(step.name);
      log.warn({ err: error, step: step.name }, 'a step of the shutdown failed');
    }
  }
  return { failed, ms: Math.round(performance.now() - began) };
}
