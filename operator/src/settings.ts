/** The operator's environment variables; the command line's help lists them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from './errors.ts';

export interface Settings {
  port: number;
  /** Where the Lease of the leader election lies. */
  namespace: string;
  logLevel: string;
  abandonAfterMs: number;
  crdDir: string;
  /** Undefined: spec.scaling is not acted on. */
  scaling?: ScalingSettings;
}

export interface ScalingSettings {
  /** Where the external metrics API is served over TLS. */
  port: number;
  /** The Service, in the operator's namespace, that leads there (443) and to /scaling (80). */
  service: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

const LEVELS = ['debug', 'info', 'warn', 'error'];
const POD_NAMESPACE = '/var/run/secrets/kubernetes.io/serviceaccount/namespace';

/** @throws {UsageError} naming the variable and what to write */
export function readSettings(env: Environment): Settings {
  const logLevel = env['LOG_LEVEL'] ?? 'info';
  if (!LEVELS.includes(logLevel))
    throw new UsageError(`LOG_LEVEL is one of ${LEVELS.join(', ')}, not "${logLevel}"`);
  return {
    port: wholeNumber(env, 'OPERATOR_PORT', 3_000, 65_535),
    namespace: env['OPERATOR_NAMESPACE'] ?? podNamespace() ?? 'warren-system',
    logLevel,
    abandonAfterMs: wholeNumber(env, 'WARREN_ABANDON_AFTER_S', 600, 31_536_000) * 1_000,
    ...(env['WARREN_SCALING'] === 'true' ? { scaling: scalingSettings(env) } : {}),
    crdDir: env['CRD_DIR'] ?? join(import.meta.dirname, '..', '..', 'charts', 'warren', 'crds'),
  };
}

function scalingSettings(env: Environment): ScalingSettings {
  return {
    port: wholeNumber(env, 'EXTERNAL_METRICS_PORT', 3_443, 65_535),
    service: env['WARREN_SERVICE'] ?? 'warren',
  };
}

function wholeNumber(env: Environment, name: string, otherwise: number, most: number): number {
  const text = env[name];
  if (text === undefined || text === '') return otherwise;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > most)
    throw new UsageError(`${name} is a whole number from 0 to ${most}, not "${text}"`);
  return value;
}

function podNamespace(): string | undefined {
  try {
    return readFileSync(POD_NAMESPACE, 'utf8').trim();
  } catch {
    return undefined;
  }
}
