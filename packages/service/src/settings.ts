/**
 * The settings of a service: environment variables, checked once at the start.
 *
 * What every service reads is in {@link baseSettings}; a service adds its own as a zod object. A wrong variable
 * stops the start with a sentence for each, and no value is ever repeated in it: a value may be a secret.
 */
import { z } from 'zod';
import { SettingsError } from './errors.ts';

const milliseconds = z.coerce.number().int().min(0).max(3_600_000);
const urlWith = (...schemes: string[]) =>
  z
    .string()
    .refine(
      (value) => schemes.some((scheme) => value.startsWith(`${scheme}://`)),
      `must begin with ${schemes.map((scheme) => `${scheme}://`).join(' or ')}`,
    );

/** What every service reads from its environment. */
export const baseSettings = z.object({
  PORT: z.coerce.number().int().min(0).max(65_535).default(3000).describe('HTTP port; 0 takes a free one'),
  HOST: z.string().min(1).optional().describe('address to listen on; all of them when it is not set'),
  MONGODB_URL: urlWith('mongodb', 'mongodb+srv').describe(
    'database; without a database name in it, the name of the service is used',
  ),
  RABBITMQ_URL: urlWith('amqp', 'amqps')
    .optional()
    .describe('broker to publish to; without it, that of the first binding'),
  EVENTS_EXCHANGE: z
    .string()
    .min(1)
    .default('events')
    .describe('exchange to publish to with RABBITMQ_URL; without it, the one of the first binding'),
  SERVICE_BINDING_ROOT: z
    .string()
    .min(1)
    .optional()
    .describe('folder with one folder a subscription, or of the EventPublisher named like the service'),
  BINDING_POLL_MS: milliseconds.min(10).default(1000).describe('how often the bindings are read again'),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
  OTEL_EXPORTER_OTLP_ENDPOINT: urlWith('http', 'https')
    .optional()
    .describe('where traces go; without it there are none'),
  SHUTDOWN_DEADLINE_MS: milliseconds.min(100).default(20_000).describe('for all of a graceful stop'),
  SHUTDOWN_DELAY_MS: milliseconds
    .default(0)
    .describe('how long to go on serving after readiness went down, for load balancers to notice'),
  REQUEST_TIMEOUT_MS: milliseconds
    .min(10)
    .default(20_000)
    .describe('for one request; then it is answered 503, and what it began goes on'),
  HANDLER_TIMEOUT_MS: milliseconds.min(10).default(30_000).describe('for one delivery of one message'),
  IDEMPOTENCY_TTL_MS: z.coerce
    .number()
    .int()
    .min(1000)
    .default(24 * 3_600_000)
    .describe('how long the answer to an Idempotency-Key is remembered'),
});

/** The settings of every service. */
export type BaseSettings = z.infer<typeof baseSettings>;

/** Environment variables as the process has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads the base settings and a service's own ones. An empty variable counts as not set.
 *
 * @throws {SettingsError} with one sentence for each wrong variable
 */
export function readSettings<Own extends z.ZodRawShape>(
  own: z.ZodObject<Own>,
  env: Environment,
): BaseSettings & z.infer<z.ZodObject<Own>> {
  const present = Object.fromEntries(
    Object.entries(env).filter(([, value]) => value !== undefined && value !== ''),
  );
  const base = baseSettings.safeParse(present);
  const extra = own.safeParse(present);
  if (base.success && extra.success) return { ...base.data, ...extra.data };
  const issues = [...(base.error?.issues ?? []), ...(extra.error?.issues ?? [])];
  const sentences = issues.map((issue) => {
    const name = issue.path.join('.');
    return name in present ? `${name}: ${issue.message}` : `${name} is not set: ${hint(name, own)}`;
  });
  throw new SettingsError(`The service cannot start.\n${sentences.map((line) => `  - ${line}`).join('\n')}`);
}

function hint(name: string, own: z.ZodObject): string {
  const fields: Readonly<Record<string, z.core.$ZodType>> = { ...own.shape, ...baseSettings.shape };
  const field = fields[name];
  return field instanceof z.ZodType ? (field.description ?? 'it is required') : 'it is required';
}
