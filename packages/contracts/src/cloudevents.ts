/**
 * An event on the wire: CloudEvents 1.0 in binary mode, carried over to AMQP 0-9-1. Pure, no I/O.
 *
 * Attributes are flat headers `cloudEvents_<name>` (RabbitMQ converts scalar headers for AMQP 1.0 clients, nested
 * tables it does not), the data is the JSON body, the trace context stays in the plain headers `traceparent` and
 * `tracestate`. `decodeEvent(encodeEvent(event))` equals `event`.
 *
 * | event | header | also the AMQP property |
 * |---|---|---|
 * | id, type, source | cloudEvents_id, _type, _source | messageId, type, appId |
 * | aggregateId, version | cloudEvents_subject, _sequence | |
 * | timestamp | cloudEvents_time | timestamp (whole seconds) |
 * | schemaVersion | cloudEvents_dataversion | |
 * | correlationId, causationId | cloudEvents_correlationid, _causationid | correlationId |
 *
 * Whatever else speaks CloudEvents may publish too: the prefix `cloudEvents:` and the structured mode
 * (`application/cloudevents+json`) are read as well. What may be missing then: dataversion is 1, correlationid is
 * the id, time is the AMQP timestamp, and an event without subject is its own aggregate, at version 1.
 */
import { MalformedEventError } from './errors.ts';
import type { Event } from './event.ts';

export interface EncodedEvent {
  readonly content: Buffer;
  readonly properties: {
    readonly messageId?: string;
    readonly type?: string;
    readonly contentType: 'application/json';
    /** Seconds since 1970, as AMQP 0-9-1 has it. */
    readonly timestamp: number;
    readonly appId?: string;
    readonly correlationId?: string;
    readonly headers: Record<string, string | number>;
  };
}

/** A message as an AMQP client delivers it; nothing in it is trusted. */
export interface ReceivedMessage {
  readonly content: Uint8Array;
  readonly properties: {
    readonly headers?: unknown;
    readonly contentType?: unknown;
    readonly timestamp?: unknown;
    readonly correlationId?: unknown;
  };
}

const PREFIX = 'cloudEvents_';
const PREFIXES = [PREFIX, 'cloudEvents:'];

export function encodeEvent(event: Event): EncodedEvent {
  const headers: Record<string, string | number> = {
    [`${PREFIX}specversion`]: '1.0',
    [`${PREFIX}id`]: event.id,
    [`${PREFIX}type`]: event.type,
    [`${PREFIX}source`]: event.source,
    [`${PREFIX}subject`]: event.aggregateId,
    [`${PREFIX}time`]: event.timestamp,
    [`${PREFIX}sequence`]: event.version,
    [`${PREFIX}dataversion`]: event.schemaVersion,
    [`${PREFIX}correlationid`]: event.correlationId,
  };
  if (event.causationId !== undefined) headers[`${PREFIX}causationid`] = event.causationId;
  if (event.traceparent !== undefined) headers['traceparent'] = event.traceparent;
  if (event.tracestate !== undefined) headers['tracestate'] = event.tracestate;
  return {
    content: Buffer.from(JSON.stringify(event.data)),
    properties: {
      ...shortString('messageId', event.id),
      ...shortString('type', event.type),
      ...shortString('appId', event.source),
      ...shortString('correlationId', event.correlationId),
      contentType: 'application/json',
      timestamp: Math.floor(Date.parse(event.timestamp) / 1000),
      headers,
    },
  };
}

/** A property of AMQP 0-9-1 holds 255 bytes; a longer one closes the channel, so it stays in the headers alone. */
function shortString<Name extends string>(name: Name, value: string): Partial<Record<Name, string>> {
  return Buffer.byteLength(value) <= 255 ? ({ [name]: value } as Record<Name, string>) : {};
}

/** @throws {MalformedEventError} with a sentence that says what is missing or wrong; nothing else, whatever comes in. */
export function decodeEvent(message: ReceivedMessage): Event {
  const { properties } = message;
  const mode = modeOf(properties.contentType);
  const headers = isRecord(properties.headers) ? properties.headers : {};
  const body = json(message.content);
  const envelope = mode === 'structured' ? structured(body) : binary(headers, body);
  const { attributes, data } = envelope;

  const specversion = text(attributes, 'specversion');
  if (!/^1(\.\d+)?$/.test(specversion)) {
    throw new MalformedEventError(`CloudEvents specversion is "${clip(specversion)}": only 1.0 is read`);
  }
  const id = text(attributes, 'id');
  const causationId = optionalText(attributes, 'causationid');
  const traceparent = optionalText(headers, 'traceparent') ?? optionalText(attributes, 'traceparent');
  const tracestate = optionalText(headers, 'tracestate') ?? optionalText(attributes, 'tracestate');
  return {
    id,
    type: text(attributes, 'type'),
    schemaVersion: positive(attributes, 'dataversion') ?? 1,
    ...position(attributes, id),
    timestamp: time(attributes, properties.timestamp),
    source: text(attributes, 'source'),
    data,
    correlationId:
      optionalText(attributes, 'correlationid') ?? optionalText(properties, 'correlationId') ?? id,
    ...(causationId !== undefined && { causationId }),
    ...(traceparent !== undefined && { traceparent }),
    ...(tracestate !== undefined && { tracestate }),
  };
}

type Attributes = Readonly<Record<string, unknown>>;
interface Envelope {
  readonly attributes: Attributes;
  readonly data: unknown;
}

function modeOf(contentType: unknown): 'binary' | 'structured' {
  if (contentType === undefined || contentType === null || contentType === '') return 'binary';
  if (typeof contentType !== 'string') throw new MalformedEventError('the content type is not a string');
  const media = (contentType.split(';', 1)[0] ?? '').trim().toLowerCase();
  if (media === 'application/cloudevents+json') return 'structured';
  if (
    media === 'application/json' ||
    (media.endsWith('+json') && !media.startsWith('application/cloudevents'))
  )
    return 'binary';
  throw new MalformedEventError(
    `the content type is "${clip(contentType)}": write application/json, or application/cloudevents+json for the structured mode`,
  );
}

function binary(headers: Attributes, data: unknown): Envelope {
  const attributes: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(headers)) {
    const prefix = PREFIXES.find((candidate) => name.startsWith(candidate));
    if (prefix !== undefined) attributes[name.slice(prefix.length)] = value;
  }
  if (Object.keys(attributes).length === 0) {
    throw new MalformedEventError('the message has no cloudEvents_ headers, so it is no CloudEvent');
  }
  return { attributes, data };
}

function structured(body: unknown): Envelope {
  if (!isRecord(body))
    throw new MalformedEventError('the body is not a JSON object, as the structured mode wants it');
  if (body['data'] === undefined) throw new MalformedEventError('the CloudEvent has no "data"');
  return { attributes: body, data: body['data'] };
}

function json(content: unknown): unknown {
  if (!(content instanceof Uint8Array)) throw new MalformedEventError('the message has no body');
  let body: string;
  try {
    body = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content);
  } catch {
    throw new MalformedEventError('the body is not UTF-8');
  }
  try {
    return JSON.parse(body) as unknown;
  } catch {
    throw new MalformedEventError(
      body === '' ? 'the body is empty, JSON is expected' : 'the body is not JSON',
    );
  }
}

function position(attributes: Attributes, id: string): Pick<Event, 'aggregateId' | 'version'> {
  const aggregateId = optionalText(attributes, 'subject');
  const version = positive(attributes, 'sequence');
  if (aggregateId === undefined) return { aggregateId: id, version: 1 };
  if (version === undefined) {
    throw new MalformedEventError(
      'the CloudEvent has a subject but no "sequence": its position in that aggregate is unknown',
    );
  }
  return { aggregateId, version };
}

const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i;

function time(attributes: Attributes, seconds: unknown): string {
  const given = optionalText(attributes, 'time');
  if (given === undefined && typeof seconds !== 'number') throw missing('time');
  const milliseconds =
    given === undefined ? Number(seconds) * 1000 : RFC_3339.test(given) ? Date.parse(given) : Number.NaN;
  const date = new Date(milliseconds);
  if (Number.isNaN(date.getTime()))
    throw new MalformedEventError('the CloudEvent\'s "time" is not a time as RFC 3339 has it');
  return date.toISOString();
}

function text(attributes: Attributes, name: string): string {
  const value = optionalText(attributes, name);
  if (value === undefined) throw missing(name);
  return value;
}

function optionalText(attributes: Attributes, name: string): string | undefined {
  const value = Object.hasOwn(attributes, name) ? attributes[name] : undefined;
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw new MalformedEventError(`the CloudEvent's "${name}" is not a string`);
  return value === '' ? undefined : value;
}

/** A whole number from 1; the AMQP client of another language may have made it a string. */
function positive(attributes: Attributes, name: string): number | undefined {
  const value = Object.hasOwn(attributes, name) ? attributes[name] : undefined;
  if (value === undefined || value === null) return undefined;
  const number = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < 1) {
    throw new MalformedEventError(`the CloudEvent's "${name}" is not a whole number from 1`);
  }
  return number;
}

function missing(name: string): MalformedEventError {
  return new MalformedEventError(`the CloudEvent has no "${name}"`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function clip(value: string): string {
  return value.length > 60 ? `${value.slice(0, 60)}…` : value;
}
