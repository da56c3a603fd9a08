/**
 * What is being done on whose behalf: carried along every asynchronous call of one request or one message, so that
 * logs, appended events and spans say the same correlation without passing it by hand.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';

/** The work at hand. */
export interface WorkContext {
  /** The whole conversation, from the first request to the last event. */
  readonly correlationId: string;
  /** The id of the message or request that caused this work. */
  readonly causationId?: string;
  /** The W3C trace context that came in; used where no span is recorded. */
  readonly traceparent?: string;
  readonly tracestate?: string;
}

const storage = new AsyncLocalStorage<WorkContext>();

/** Runs `work` within a context. */
export function withContext<T>(context: WorkContext, work: () => T): T {
  return storage.run(context, work);
}

/** The context of the running work, if there is any. */
export function currentContext(): WorkContext | undefined {
  return storage.getStore();
}

/** Correlation and causation for what is about to be appended. Outside of any work a new conversation begins. */
export function currentCauses(): { correlationId: string; causationId?: string } {
  const context = storage.getStore();
  if (context === undefined) return { correlationId: randomUUID() };
  return {
    correlationId: context.correlationId,
    ...(context.causationId === undefined ? {} : { causationId: context.causationId }),
  };
}
