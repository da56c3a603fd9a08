/**
 * The spans of messaging, by the OpenTelemetry semantic conventions for messaging and RabbitMQ (v1.45, in
 * development; so the names are copied here and nowhere else).
 *
 *   request span ── append ──▶ commit (keeps the request's traceparent)
 *        └── send events:order.placed (PRODUCER, made by the relay, perhaps much later)
 *              └── process events:order.placed:shop.payment (CONSUMER, one for each subscription and attempt)
 */
import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { Attributes, Span } from '@opentelemetry/api';
import { codeOf } from './errors.ts';
import { headersOf, parentContext } from './trace-context.ts';
import type { TraceHeaders } from './trace-context.ts';

const tracer = () => trace.getTracer('@warren/service');

/** What a span says about a message. */
export interface MessageFacts {
  readonly exchange: string;
  readonly routingKey: string;
  readonly messageId?: string;
  readonly correlationId?: string;
  readonly bodySize?: number;
}

function attributes(facts: MessageFacts, operation: 'send' | 'process', destination: string): Attributes {
  return {
    'messaging.system': 'rabbitmq',
    'messaging.destination.name': destination,
    'messaging.operation.name': operation,
    'messaging.operation.type': operation,
    'messaging.rabbitmq.destination.routing_key': facts.routingKey,
    ...(facts.messageId === undefined ? {} : { 'messaging.message.id': facts.messageId }),
    ...(facts.correlationId === undefined
      ? {}
      : { 'messaging.message.conversation_id': facts.correlationId }),
    ...(facts.bodySize === undefined ? {} : { 'messaging.message.body.size': facts.bodySize }),
  };
}

/**
 * Publishes within a `send <exchange>:<routing key>` span whose parent is the trace that the commit kept.
 * `publish` gets the headers that the message has to carry: the span's own, or the parent's when nothing is recorded.
 */
export function withSendSpan(
  facts: MessageFacts,
  parent: TraceHeaders,
  publish: (headers: TraceHeaders) => Promise<void>,
): Promise<void> {
  const parentCtx = parentContext(parent);
  const destination = `${facts.exchange}:${facts.routingKey}`;
  const span = tracer().startSpan(
    `send ${destination}`,
    { kind: SpanKind.PRODUCER, attributes: attributes(facts, 'send', destination) },
    parentCtx,
  );
  return run(span, parentCtx, () => publish(headersOf(span.spanContext())));
}

/** Handles one delivery within a `process <exchange>:<routing key>:<queue>` span whose parent is the message's trace. */
export function withProcessSpan<T>(
  facts: MessageFacts & { readonly queue: string; readonly subscription: string; readonly attempt: number },
  parent: TraceHeaders,
  work: (span: Span) => Promise<T>,
): Promise<T> {
  const parentCtx = parentContext(parent);
  const destination = `${facts.exchange}:${facts.routingKey}:${facts.queue}`;
  const created = trace.getSpanContext(parentCtx);
  const span = tracer().startSpan(
    `process ${destination}`,
    {
      kind: SpanKind.CONSUMER,
      links: created === undefined ? [] : [{ context: created }],
      attributes: {
        ...attributes(facts, 'process', destination),
        'messaging.destination.subscription.name': facts.subscription,
        'warren.attempt': facts.attempt,
      },
    },
    parentCtx,
  );
  return run(span, parentCtx, () => work(span));
}

async function run<T>(
  span: Span,
  parentCtx: ReturnType<typeof parentContext>,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await context.with(trace.setSpan(parentCtx, span), work);
  } catch (error) {
    fail(span, error);
    throw error;
  } finally {
    span.end();
  }
}

/** Marks a span as failed, with the error's stable code as its type. */
export function fail(span: Span, error: unknown): void {
  const type = codeOf(error);
  span.setAttribute('error.type', type);
  span.setStatus({ code: SpanStatusCode.ERROR, message: type });
}
