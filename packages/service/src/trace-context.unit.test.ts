import { describe, expect, test } from '@jest/globals';
import { ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { withContext } from './context.ts';
import { withProcessSpan, withSendSpan } from './messaging-spans.ts';
import { activeTrace, headersOf, parentContext } from './trace-context.ts';

const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const facts = { exchange: 'events', routingKey: 'order.placed' };

describe('a trace', () => {
  test('comes out of headers as it went in', () => {
    const context = parentContext({ traceparent, tracestate: 'vendor=1' });
    expect(headersOf(trace.getSpanContext(context))).toEqual({ traceparent, tracestate: 'vendor=1' });
  });

  test('is none when the header is missing or malformed', () => {
    const zeros = '00-00000000000000000000000000000000-b7ad6b7169203331-01';
    for (const bad of [undefined, 7, '', 'nonsense', zeros]) {
      expect(parentContext({ traceparent: bad })).toBe(ROOT_CONTEXT);
    }
  });

  test('is passed on unchanged where no SDK records it: through a request, a commit and a publish', async () => {
    withContext({ correlationId: 'c', traceparent }, () => {
      expect(activeTrace()).toEqual({ traceparent });
    });
    const sent: unknown[] = [];
    await withSendSpan(facts, { traceparent }, (headers) => {
      sent.push(headers);
      return Promise.resolve();
    });
    expect(sent).toEqual([{ traceparent }]);
  });

  test('does not hide what the work within it throws', async () => {
    const place = { ...facts, queue: 'q', subscription: 's', attempt: 1 };
    await expect(withProcessSpan(place, {}, () => Promise.reject(new Error('boom')))).rejects.toThrow('boom');
  });
});
