/**
 * A binding: what the operator hands a consumer, as a folder with one file a key (Service Binding specification).
 *
 *   $SERVICE_BINDING_ROOT/<subscription>/{type,provider,uri,subscription,queue,prefetch,attempts,ordering,
 *   retry-mode,retry-waits,dead-letter-exchange,dead-letter-routing-key}
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ConsumerSettings } from '@warren/rabbitmq';
import { z } from 'zod';
import { BindingError } from './errors.ts';

/** A binding that can be used. */
export interface Binding {
  /** The broker, with credentials: never to be shown. */
  readonly uri: string;
  readonly settings: ConsumerSettings;
  /** Changes with every value of the binding; says nothing about them. */
  readonly fingerprint: string;
}

const text = z.string().trim().min(1, 'is empty');
const count = z.coerce.number().int().min(1).max(65_535);
const waits = z.array(z.object({ queue: z.string().min(1), delayMs: z.number().int().min(0) }));

const entries = z.object({
  type: z.literal('rabbitmq', 'must be rabbitmq'),
  uri: text.refine((uri) => /^amqps?:\/\//.test(uri), 'must begin with amqp:// or amqps://'),
  subscription: text,
  queue: text,
  prefetch: count,
  attempts: count,
  ordering: z.enum(['None', 'PerKey', 'Strict']).default('None'),
  'retry-mode': z.enum(['broker', 'ladder']),
  'retry-waits': z.string().optional(),
  'dead-letter-exchange': text,
  'dead-letter-routing-key': text,
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

/** A binding out of its entries. */
export function parseBinding(name: string, files: Readonly<Record<string, string>>): Binding {
  const wrong = (sentences: readonly string[]) =>
    new BindingError(`The binding of ${name} cannot be used: ${sentences.join('; ')}.`);
  const trimmed = Object.fromEntries(Object.entries(files).map(([key, value]) => [key, value.trim()]));
  const parsed = entries.safeParse(trimmed);
  if (!parsed.success) {
    throw wrong(
      parsed.error.issues.map((issue) => {
        const key = issue.path.join('.');
        return key in trimmed ? `${key}: ${issue.message}` : `${key} is missing`;
      }),
    );
  }
  const entry = parsed.data;
  let retry: ConsumerSettings['retry'] = { mode: 'broker' };
  if (entry['retry-mode'] === 'ladder') {
    const ladder = waits.safeParse(json(entry['retry-waits']));
    if (!ladder.success) throw wrong(['retry-waits: must be a JSON list of { queue, delayMs }']);
    retry = { mode: 'ladder', waits: ladder.data };
  }
  return {
    uri: entry.uri,
    settings: {
      subscription: entry.subscription,
      queue: entry.queue,
      prefetch: entry.prefetch,
      attempts: entry.attempts,
      deadLetter: { exchange: entry['dead-letter-exchange'], routingKey: entry['dead-letter-routing-key'] },
      retry,
      strict: entry.ordering === 'Strict',
    },
    fingerprint: createHash('sha256')
      .update(JSON.stringify(Object.entries(trimmed).sort(([a], [b]) => (a < b ? -1 : 1))))
      .digest('base64url'),
  };
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
