/**
 * Whether a service is well: `/livez`, `/readyz` and `/health`, served by terminus.
 *
 * - `/livez` asks nothing but the event loop, and stays up while the service stops: a restart cures no dependency.
 * - `/readyz` asks every dependency, and is down from the first moment of a stop.
 * - `/health` asks the same and also answers during a stop; it names each dependency, `mongodb` and `rabbitmq` among them.
 *
 * Each check has its own time limit, and its answer is kept for a short while, so that probes cost a dependency nothing.
 */
import { HealthCheckError } from '@godaddy/terminus';
import type { HealthCheckMap } from '@godaddy/terminus';
import { withoutCredentials } from '@warren/rabbitmq';
import { withTimeLimit } from './time-limit.ts';

/** Throws when the dependency is not usable, with a sentence that says why. */
export type Check = () => Promise<void> | void;

/** The answer of one check. */
export interface CheckResult {
  readonly status: 'up' | 'down';
  readonly ms: number;
  readonly reason?: string;
}

/** Limits of the checks, in milliseconds. */
export interface HealthLimits {
  readonly timeLimitMs: number;
  readonly memoMs: number;
}

/** All checks at once; each within its own time limit. */
export function createHealth(
  checks: () => Readonly<Record<string, Check>>,
  limits: HealthLimits = { timeLimitMs: 1000, memoMs: 500 },
): () => Promise<Record<string, CheckResult>> {
  const memo = new Map<string, { until: number; result: Promise<CheckResult> }>();
  const one = (name: string, check: Check): Promise<CheckResult> => {
    const now = performance.now();
    const known = memo.get(name);
    if (known !== undefined && known.until > now) return known.result;
    const result = runCheck(name, check, limits.timeLimitMs);
    memo.set(name, { until: now + limits.memoMs, result });
    return result;
  };
  return async () => {
    const entries = Object.entries(checks());
    const results = await Promise.all(entries.map(([name, check]) => one(name, check)));
    return Object.fromEntries(entries.map(([name], index) => [name, results[index] as CheckResult]));
  };
}

async function runCheck(name: string, check: Check, limitMs: number): Promise<CheckResult> {
  const began = performance.now();
  const ms = () => Math.round(performance.now() - began);
  try {
    await withTimeLimit(`Asking ${name}`, limitMs, async () => {
      await check();
    });
    return { status: 'up', ms: ms() };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { status: 'down', ms: ms(), reason: withoutCredentials(reason) };
  }
}

/** The three paths as terminus takes them. */
export function healthChecks(
  health: () => Promise<Record<string, CheckResult>>,
  isDraining: () => boolean,
): HealthCheckMap {
  const all = async () => {
    const results = await health();
    if (Object.values(results).some((result) => result.status === 'down')) throw unwell(results);
    return results;
  };
  return {
    '/livez': () => Promise.resolve(),
    '/readyz': async () => {
      if (isDraining())
        throw unwell({ service: { status: 'down', ms: 0, reason: 'The service is stopping.' } });
      return all();
    },
    '/health': all,
  };
}

function unwell(results: Record<string, CheckResult>): Error {
  // terminus answers with a body object that all its servers share, unless the error brings its own.
  return Object.assign(new HealthCheckError('unwell', results), { statusResponse: { status: 'error' } });
}
