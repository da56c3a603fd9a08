/**
 * W3C trace context to and from OpenTelemetry, without a propagator: it works the same when no SDK runs, so that a
 * service without tracing still passes on the trace of the others.
 */
import { isSpanContextValid, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import type { Context, SpanContext } from '@opentelemetry/api';
import { parseTraceParent, TraceState } from '@opentelemetry/core';
import { currentContext } from './context.ts';

/** The two headers; absent when there is no trace. */
export interface TraceHeaders {
  readonly traceparent?: string;
  readonly tracestate?: string;
}

/** The context whose spans become children of the trace in `headers`; the root context when there is none. */
export function parentContext(headers: { traceparent?: unknown; tracestate?: unknown }): Context {
  const parent = typeof headers.traceparent === 'string' ? parseTraceParent(headers.traceparent) : null;
  if (parent === null || !isSpanContextValid(parent)) return ROOT_CONTEXT;
  return trace.setSpanContext(ROOT_CONTEXT, {
    ...parent,
    isRemote: true,
    ...(typeof headers.tracestate === 'string' && headers.tracestate !== ''
      ? { traceState: new TraceState(headers.tracestate) }
      : {}),
  });
}

/** The headers that make what follows a child of `span`. */
export function headersOf(span: SpanContext | undefined): TraceHeaders {
  if (span === undefined || !isSpanContextValid(span)) return {};
  const flags = (span.traceFlags & 0xff).toString(16).padStart(2, '0');
  const state = span.traceState?.serialize();
  return {
    traceparent: `00-${span.traceId}-${span.spanId}-${flags}`,
    ...(state === undefined || state === '' ? {} : { tracestate: state }),
  };
}

/** The trace of the running work: its span, or what came in when no span is recorded. */
export function activeTrace(): TraceHeaders {
  const own = headersOf(trace.getActiveSpan()?.spanContext());
  if (own.traceparent !== undefined) return own;
  const context = currentContext();
  return {
    ...(context?.traceparent === undefined ? {} : { traceparent: context.traceparent }),
    ...(context?.tracestate === undefined ? {} : { tracestate: context.tracestate }),
  };
}
