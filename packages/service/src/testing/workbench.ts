/**
 * A workbench for component tests: services in this process, on a real broker and a real database that the test owns.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { z } from 'zod';
import type { ServiceDefinition } from '../definition.ts';
import { startService } from '../service.ts';
import type { Service } from '../service.ts';
import { openSpy } from './spy.ts';
import type { Spy } from './spy.ts';
import { openSubscription } from './subscription.ts';
import type { TestSubscription, TestSubscriptionOptions } from './subscription.ts';

/** An answer of a service. */
export interface Answer<Body = unknown> {
  readonly status: number;
  readonly headers: Headers;
  readonly type: string;
  readonly text: string;
  /** Undefined when the answer is not JSON. */
  readonly body: Body;
}

/** How a request is made; a `body` that is no text is sent as JSON. */
export interface AskOptions {
  readonly method?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Everything a component test needs; whatever it opened ends with it, the services first. */
export interface Workbench extends AsyncDisposable {
  /** The environment of its services. */
  readonly env: Readonly<Record<string, string>>;
  readonly spy: Spy;
  /** SERVICE_BINDING_ROOT */
  readonly root: string;
  subscribe(
    name: string,
    patterns: readonly string[],
    options?: Omit<TestSubscriptionOptions, 'amqpUrl' | 'root' | 'name' | 'patterns'>,
  ): Promise<TestSubscription>;
  start<Own extends z.ZodRawShape>(
    definition: ServiceDefinition<Own>,
    env?: Readonly<Record<string, string>>,
  ): Promise<Service>;
}

/** What a workbench stands on; it is disposed with it. */
export interface WorkbenchGround {
  /** A virtual host of the test's own. */
  readonly broker: { readonly amqpUrl: string } & AsyncDisposable;
  /** A database of the test's own. */
  readonly database: { readonly url: string } & AsyncDisposable;
  /** More environment variables for its services. */
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Opens a workbench.
 *
 * @example
 * await using bench = await openWorkbench({ broker: await testBroker(), database: await testDatabase() });
 */
export async function openWorkbench({ broker, database, env: more }: WorkbenchGround): Promise<Workbench> {
  const { amqpUrl } = broker;
  const root = await mkdtemp(join(tmpdir(), 'warren-bindings-'));
  const spy = await openSpy(amqpUrl);
  const services = new Set<AsyncDisposable>();
  const subscriptions = new Set<AsyncDisposable>();
  const env = {
    PORT: '0',
    HOST: '127.0.0.1',
    LOG_LEVEL: process.env['TEST_LOG_LEVEL'] ?? 'silent',
    MONGODB_URL: database.url,
    RABBITMQ_URL: amqpUrl,
    SERVICE_BINDING_ROOT: root,
    BINDING_POLL_MS: '50',
    ...more,
  };
  return {
    env,
    spy,
    root,
    subscribe: async (name, patterns, settings = {}) => {
      const opened = await openSubscription({ amqpUrl, root, name, patterns, ...settings });
      subscriptions.add(opened);
      return opened;
    },
    start: async (definition, own = {}) => {
      const service = await startService(definition, { env: { ...env, ...own } });
      services.add(service);
      return service;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([...services].map((one) => one[Symbol.asyncDispose]()));
      await Promise.all([...subscriptions, spy].map((one) => one[Symbol.asyncDispose]()));
      await rm(root, { recursive: true, force: true });
      await Promise.all([broker[Symbol.asyncDispose](), database[Symbol.asyncDispose]()]);
    },
  };
}

/** Asks a service by HTTP, each time on a connection of its own: one that was kept may be closed just now. */
export async function ask<Body = unknown>(url: string, options: AskOptions = {}): Promise<Answer<Body>> {
  const { body, headers } = options;
  const response = await fetch(url, {
    method: options.method ?? (body === undefined ? 'GET' : 'POST'),
    headers: {
      Connection: 'close',
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const type = response.headers.get('content-type') ?? '';
  const isJson = type.includes('json') && text !== '';
  return {
    status: response.status,
    headers: response.headers,
    type,
    text,
    body: (isJson ? JSON.parse(text) : undefined) as Body,
  };
}
