/**
 * The log of a service: JSON lines by pino, each with the trace and the correlation of the work it was written in.
 */
import { isSpanContextValid, trace } from '@opentelemetry/api';
import { withoutCredentials } from '@warren/rabbitmq';
import { pino } from 'pino';
import type { Logger } from 'pino';
import { currentContext } from './context.ts';

export type { Logger } from 'pino';

/** A log for `name`; `level` as pino has them, `silent` for none. */
export function createLog(name: string, level: string): Logger {
  return pino({
    level,
    base: { service: name },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    mixin: () => {
      const span = trace.getActiveSpan()?.spanContext();
      const context = currentContext();
      return {
        ...(span !== undefined && isSpanContextValid(span)
          ? { trace_id: span.traceId, span_id: span.spanId }
          : {}),
        ...(context === undefined ? {} : { correlationId: context.correlationId }),
      };
    },
    // An error says its name, code and sentence; never more of it, since drivers keep URLs in their own fields.
    serializers: { err: describeError },
  });
}

/** An error as the log may show it. */
export function describeError(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { message: withoutCredentials(String(error)) };
  return {
    type: error.name,
    message: withoutCredentials(error.message),
    ...('code' in error ? { code: error.code } : {}),
    ...(error.stack === undefined ? {} : { stack: withoutCredentials(error.stack) }),
    ...(error.cause === undefined ? {} : { cause: describeError(error.cause) }),
  };
}
