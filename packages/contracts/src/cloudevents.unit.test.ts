import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { decodeEvent, encodeEvent } from './cloudevents.ts';
import type { ReceivedMessage } from './cloudevents.ts';
import { MalformedEventError } from './errors.ts';
import type { Event } from './event.ts';

const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 300 });
const position = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const anyEvent: fc.Arbitrary<Event> = fc.record(
  {
    id: text,
    type: text,
    schemaVersion: position,
    aggregateId: text,
    version: position,
    timestamp: fc
      .date({ min: new Date(0), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true })
      .map((date) => date.toISOString()),
    source: text,
    // JSON has no -0.
    data: fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)) as unknown),
    correlationId: text,
    causationId: text,
    traceparent: text,
    tracestate: text,
  },
  {
    requiredKeys: [
      'id',
      'type',
      'schemaVersion',
      'aggregateId',
      'version',
      'timestamp',
      'source',
      'data',
      'correlationId',
    ],
  },
);

const order: Event = {
  id: 'e1',
  type: 'OrderPlaced',
  schemaVersion: 2,
  aggregateId: 'order-1',
  version: 1,
  timestamp: '2026-01-31T12:00:00.123Z',
  source: 'order',
  data: { orderId: 'order-1' },
  correlationId: 'r1',
};

/** The sentence with which a message is refused. */
function refusal(message: ReceivedMessage): string {
  try {
    decodeEvent(message);
  } catch (error) {
    expect(error).toBeInstanceOf(MalformedEventError);
    expect(error).toMatchObject({ code: 'WARREN_MALFORMED_EVENT', permanent: true });
    return (error as Error).message;
  }
  throw new Error('it was decoded');
}

const encoded = encodeEvent(order);
const without = (header: string): ReceivedMessage => ({
  content: encoded.content,
  properties: {
    headers: Object.fromEntries(
      Object.entries(encoded.properties.headers).filter(([name]) => name !== header),
    ),
  },
});
const withHeaders = (headers: Record<string, unknown>): ReceivedMessage => ({
  content: encoded.content,
  properties: { ...encoded.properties, headers: { ...encoded.properties.headers, ...headers } },
});

describe('encode', () => {
  test('puts the attributes into flat headers and the basic properties', () => {
    expect(encoded.properties).toEqual({
      messageId: 'e1',
      type: 'OrderPlaced',
      contentType: 'application/json',
      timestamp: 1769860800,
      appId: 'order',
      correlationId: 'r1',
      headers: {
        cloudEvents_specversion: '1.0',
        cloudEvents_id: 'e1',
        cloudEvents_type: 'OrderPlaced',
        cloudEvents_source: 'order',
        cloudEvents_subject: 'order-1',
        cloudEvents_time: '2026-01-31T12:00:00.123Z',
        cloudEvents_sequence: 1,
        cloudEvents_dataversion: 2,
        cloudEvents_correlationid: 'r1',
      },
    });
    expect(encoded.content.toString()).toBe('{"orderId":"order-1"}');
  });

  test('leaves out a property that AMQP could not carry, for it would close the channel', () => {
    fc.assert(
      fc.property(anyEvent, (event) => {
        const { properties } = encodeEvent(event);
        for (const value of [
          properties.messageId,
          properties.type,
          properties.appId,
          properties.correlationId,
        ]) {
          expect(Buffer.byteLength(value ?? '')).toBeLessThanOrEqual(255);
        }
      }),
    );
  });
});

describe('decode', () => {
  test('of what was encoded is the event, whatever is in it', () => {
    fc.assert(
      fc.property(anyEvent, (event) => {
        expect(decodeEvent(encodeEvent(event))).toEqual(event);
      }),
    );
  });

  test('reads the prefix `cloudEvents:` of the older binding', () => {
    const headers = Object.entries(encoded.properties.headers).map(([name, value]) => [
      name.replace('cloudEvents_', 'cloudEvents:'),
      value,
    ]);
    expect(
      decodeEvent({ content: encoded.content, properties: { headers: Object.fromEntries(headers) } }),
    ).toEqual(order);
  });

  test('reads the structured mode', () => {
    const { id, type, source, data } = order;
    const body = {
      specversion: '1.0',
      id,
      type,
      source,
      data,
      subject: 'order-1',
      sequence: '1',
      dataversion: 2,
      correlationid: 'r1',
      time: '2026-01-31T13:00:00.123+01:00',
    };
    const message = {
      content: Buffer.from(JSON.stringify(body)),
      properties: { contentType: 'application/cloudevents+json; charset=UTF-8' },
    };
    expect(decodeEvent(message)).toEqual(order);
  });

  test('reads what a stranger leaves out: an event without a subject is its own aggregate', () => {
    const headers = {
      cloudEvents_specversion: '1.0',
      cloudEvents_id: 'x',
      cloudEvents_type: 'T',
      cloudEvents_source: '/s',
    };
    const message = { content: Buffer.from('null'), properties: { headers, timestamp: 1 } };
    expect(decodeEvent(message)).toEqual({
      id: 'x',
      type: 'T',
      source: '/s',
      aggregateId: 'x',
      version: 1,
      schemaVersion: 1,
      data: null,
      correlationId: 'x',
      timestamp: '1970-01-01T00:00:01.000Z',
    });
  });

  test.each([
    ['no headers at all', { content: Buffer.from('{}'), properties: {} }, 'no cloudEvents_ headers'],
    ['no id', without('cloudEvents_id'), 'no "id"'],
    ['no type', without('cloudEvents_type'), 'no "type"'],
    ['no source', without('cloudEvents_source'), 'no "source"'],
    ['no specversion', without('cloudEvents_specversion'), 'no "specversion"'],
    ['no time', without('cloudEvents_time'), 'no "time"'],
    ['no sequence', without('cloudEvents_sequence'), 'no "sequence"'],
    ['another specversion', withHeaders({ cloudEvents_specversion: '0.3' }), 'specversion is "0.3"'],
    [
      'a version of zero',
      withHeaders({ cloudEvents_sequence: 0 }),
      '"sequence" is not a whole number from 1',
    ],
    ['a schema version in words', withHeaders({ cloudEvents_dataversion: 'two' }), '"dataversion" is not'],
    ['a time in words', withHeaders({ cloudEvents_time: 'yesterday' }), '"time" is not a time'],
    ['an id that is a number', withHeaders({ cloudEvents_id: 7 }), '"id" is not a string'],
    ['a body that is not JSON', { ...encoded, content: Buffer.from('{oops') }, 'the body is not JSON'],
    ['an empty body', { ...encoded, content: Buffer.alloc(0) }, 'the body is empty'],
    ['a body that is not UTF-8', { ...encoded, content: Buffer.from([0x22, 0xff, 0x22]) }, 'not UTF-8'],
    [
      'another content type',
      { ...encoded, properties: { ...encoded.properties, contentType: 'text/xml' } },
      'the content type is "text/xml"',
    ],
    [
      'a structured body that is no object',
      { content: Buffer.from('[]'), properties: { contentType: 'application/cloudevents+json' } },
      'not a JSON object',
    ],
  ])('refuses a message with %s, and says so', (_, message: ReceivedMessage, sentence) => {
    expect(refusal(message)).toContain(sentence);
  });

  test('never throws anything but MalformedEventError, whatever comes in', () => {
    const anything = fc.anything({
      withNullPrototype: true,
      withBigInt: true,
      withTypedArray: true,
      withDate: true,
    });
    const header = fc.constantFrom(...Object.keys(encoded.properties.headers), 'traceparent', '__proto__');
    const garbage = fc.record({
      content: fc.oneof(
        fc.uint8Array(),
        fc.json().map((body) => Buffer.from(body)),
        anything,
      ),
      properties: fc.record({
        headers: fc.oneof(
          anything,
          fc.dictionary(header, anything).map((wild) => ({ ...encoded.properties.headers, ...wild })),
        ),
        contentType: fc.oneof(fc.constantFrom('application/json', 'application/cloudevents+json'), anything),
        timestamp: anything,
        correlationId: anything,
      }),
    });
    fc.assert(
      fc.property(garbage, (message) => {
        try {
          expect(typeof decodeEvent(message as ReceivedMessage).id).toBe('string');
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedEventError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
