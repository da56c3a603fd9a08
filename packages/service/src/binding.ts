/**
 * A binding: what the operator hands a service, as a folder with one file a key (Service Binding specification).
 *
 *   $SERVICE_BINDING_ROOT/<subscription>/{type,provider,uri,ca.crt,tls.crt,tls.key,subscription,queue,prefetch,attempts,
 *   ordering,events-exchange,retry-mode,retry-waits,dead-letter-exchange,dead-letter-routing-key}, and of a stream
 *   {queue-type,stream-offsets,stream-retries,stream-start-from}; of an EventPublisher {type,provider,uri,ca.crt,tls.crt,tls.key,
 *   publisher,events-exchange}
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ConsumerSettings, TlsOptions } from '@warren/rabbitmq';
import { z } from 'zod';
import { BindingError } from './errors.ts';

/** Where a broker is, and what its virtual host calls the exchange of all events. */
export interface BrokerAccess {
  /** With credentials: never to be shown. */
  readonly uri: string;
  /** Certificates for amqps; Node's own where there are none. */
  readonly tls?: TlsOptions;
  readonly exchange: string;
}

/** The binding of a service that only publishes. */
export interface PublisherBinding {
  readonly broker: BrokerAccess;
  readonly fingerprint: string;
}

/** A binding that can be used. */
export interface Binding {
  readonly broker: BrokerAccess;
  readonly settings: ConsumerSettings;
  /** Changes with every value of the binding; says nothing about them. */
  readonly fingerprint: string;
}

const text = z.string().trim().min(1, 'is empty');
const count = z.coerce.number().int().min(1).max(65_535);
const names = z.array(z.string().min(1)).max(99);
const delays = z.array(z.number().int().min(0)).min(1);
const waits = z.array(z.object({ queue: z.string().min(1), delayMs: z.number().int().min(0) }));

const brokerEntries = z.object({
  type: z.literal('rabbitmq', 'must be rabbitmq'),
  uri: text.refine((uri) => /^amqps?:\/\//.test(uri), 'must begin with amqp:// or amqps://'),
  'ca.crt': text.optional(),
  'tls.crt': text.optional(),
  'tls.key': text.optional(),
  'events-exchange': text.default('events'),
});

const entries = brokerEntries.extend({
  subscription: text,
  queue: text,
  prefetch: count,
  attempts: count,
  ordering: z.enum(['None', 'PerKey', 'Strict']).default('None'),
  partitions: z.string().optional(),
  'retry-mode': z.enum(['broker', 'ladder', 'in-place']),
  'retry-waits': z.string().optional(),
  'retry-delays': z.string().optional(),
  'dead-letter-exchange': text,
  'dead-letter-routing-key': text,
  'queue-type': z.string().optional(),
  'stream-offsets': text.optional(),
  'stream-retries': text.optional(),
  'stream-start-from': text.default('first'),
});

/**
 * Reads `<root>/<subscription>/`; undefined when there is no such folder.
 *
 * @throws {BindingError} when it is there but unusable; names the keys, never the values
 */
export async function readBinding(root: string, subscription: string): Promise<Binding | undefined> {
  const files = await readFolder(join(root, subscription));
  return files === undefined ? undefined : parseBinding(subscription, files);
}

/**
 * The same of a service that only publishes: of any binding only what leads to the broker is read.
 *
 * @throws {BindingError} when it is there but unusable
 */
export async function readPublisherBinding(
  root: string,
  name: string,
): Promise<PublisherBinding | undefined> {
  const files = await readFolder(join(root, name));
  return files === undefined ? undefined : parsePublisherBinding(name, files);
}

export function parsePublisherBinding(
  name: string,
  files: Readonly<Record<string, string>>,
): PublisherBinding {
  const entry = parsed(brokerEntries, name, files);
  return { broker: brokerOf(entry), fingerprint: fingerprintOf(entry) };
}

/** A binding out of its entries. */
export function parseBinding(name: string, files: Readonly<Record<string, string>>): Binding {
  const wrong = (sentences: readonly string[]) => unusable(name, sentences);
  const entry = parsed(entries, name, files);
  let retry: ConsumerSettings['retry'] = { mode: 'broker' };
  if (entry['retry-mode'] === 'ladder') {
    const ladder = waits.safeParse(json(entry['retry-waits']));
    if (!ladder.success) throw wrong(['retry-waits: must be a JSON list of { queue, delayMs }']);
    retry = { mode: 'ladder', waits: ladder.data };
  }
  if (entry['retry-mode'] === 'in-place') {
    const waiting = delays.safeParse(json(entry['retry-delays']));
    if (!waiting.success) throw wrong(['retry-delays: must be a JSON list of milliseconds']);
    retry = { mode: 'in-place', delays: waiting.data };
  }
  const partitions = entry.partitions === undefined ? undefined : names.safeParse(json(entry.partitions));
  if (partitions?.success === false) throw wrong(['partitions: must be a JSON list of queues']);
  return {
    broker: brokerOf(entry),
    settings: {
      subscription: entry.subscription,
      queue: entry.queue,
      prefetch: entry.prefetch,
      attempts: entry.attempts,
      deadLetter: { exchange: entry['dead-letter-exchange'], routingKey: entry['dead-letter-routing-key'] },
      retry,
      strict: entry.ordering !== 'None',
      ...(partitions === undefined ? {} : { partitions: partitions.data }),
      ...streamOf(entry, wrong),
    },
    fingerprint: fingerprintOf(trimmed(files)),
  };
}

function unusable(name: string, sentences: readonly string[]): BindingError {
  return new BindingError(`The binding of ${name} cannot be used: ${sentences.join('; ')}.`);
}

function trimmed(files: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(files).map(([key, value]) => [key, value.trim()]));
}

function parsed<Entry>(
  schema: z.ZodType<Entry>,
  name: string,
  files: Readonly<Record<string, string>>,
): Entry {
  const given = trimmed(files);
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  throw unusable(
    name,
    result.error.issues.map((issue) => {
      const key = issue.path.join('.');
      return key in given ? `${key}: ${issue.message}` : `${key} is missing`;
    }),
  );
}

function fingerprintOf(entry: object): string {
  return createHash('sha256')
    .update(JSON.stringify(Object.entries(entry).sort(([a], [b]) => (a < b ? -1 : 1))))
    .digest('base64url');
}

function brokerOf(entry: z.output<typeof brokerEntries>): BrokerAccess {
  return { uri: entry.uri, ...tlsOf(entry), exchange: entry['events-exchange'] };
}

function streamOf(
  entry: z.output<typeof entries>,
  wrong: (sentences: readonly string[]) => BindingError,
): Pick<ConsumerSettings, 'stream'> {
  if (entry['queue-type'] !== 'stream') return {};
  const { 'stream-offsets': offsets, 'stream-retries': retries, 'stream-start-from': startFrom } = entry;
  if (offsets === undefined) throw wrong(['stream-offsets is missing']);
  if (retries === undefined) throw wrong(['stream-retries is missing']);
  if (startFrom !== 'first' && Number.isNaN(Date.parse(startFrom)))
    throw wrong(['stream-start-from: must be first or a time']);
  return { stream: { offsets, retries, startFrom } };
}

function tlsOf(entry: z.output<typeof brokerEntries>): Pick<BrokerAccess, 'tls'> {
  const { 'ca.crt': ca, 'tls.crt': cert, 'tls.key': key } = entry;
  const tls = {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  };
  return Object.keys(tls).length === 0 ? {} : { tls };
}

/** Whether a connection to the one is a connection to the other. */
export function isSameBroker(a: BrokerAccess, b: BrokerAccess): boolean {
  return a.uri === b.uri && JSON.stringify(a.tls ?? {}) === JSON.stringify(b.tls ?? {});
}

function json(value: string | undefined): unknown {
  try {
    return JSON.parse(value ?? '') as unknown;
  } catch {
    return undefined;
  }
}

async function readFolder(folder: string): Promise<Record<string, string> | undefined> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  // Kubernetes keeps `..data` and its targets beside the keys.
  const keys = names.filter((name) => !name.startsWith('.'));
  if (keys.length === 0) return undefined;
  const files = await Promise.all(
    keys.map(async (key): Promise<[string, string] | undefined> => {
      try {
        return [key, await readFile(join(folder, key), 'utf8')];
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    }),
  );
  return Object.fromEntries(files.filter((file) => file !== undefined));
}

function isMissing(error: unknown): boolean {
  // Not `instanceof`: an error of Node's own may come from another realm than this code (jest runs tests in one).
  return (
    typeof error === 'object' &&
    error !== null &&
    'code' in error &&
    (error.code === 'ENOENT' || error.code === 'ENOTDIR')
  );
}
