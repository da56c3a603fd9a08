/**
 * A route as data: described once by zod schemas, used to validate requests and to write the OpenAPI page.
 *
 * A handler gets only what was validated and returns what to answer; what it throws becomes a problem (problem.ts).
 */
import type { z } from 'zod';
import { invalid } from './problem.ts';

/** What a handler gets. */
export interface RouteRequest<Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  /**
   * A new id for something that this request makes. With an `Idempotency-Key` it is derived from the key and the body,
   * so that a repeat, even after a crash, makes the same thing and not a second one.
   */
  readonly newId: () => string;
  /** The id of this request as a command: the causation of what it appends. The same for a repeat under the same key. */
  readonly commandId: string;
}

/** What a handler answers. `body` is written as JSON. */
export interface RouteResponse {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** One documented answer. */
export interface DocumentedResponse {
  readonly description: string;
  readonly schema?: z.ZodType;
}

/** What documents and validates a route. */
export interface RouteDefinition<
  Params extends z.ZodObject,
  Query extends z.ZodObject,
  Body extends z.ZodType,
> {
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** As express writes it: `/orders/:id`. */
  readonly path: string;
  readonly summary: string;
  readonly params?: Params;
  readonly query?: Query;
  readonly body?: Body;
  /** Answers other than the problems, which every route may give. */
  readonly responses: Readonly<Record<number, DocumentedResponse>>;
  readonly handle: (
    request: RouteRequest<z.infer<Params>, z.infer<Query>, z.infer<Body>>,
  ) => Promise<RouteResponse> | RouteResponse;
}

/** What express read from the wire. */
export interface RawRequest {
  readonly params: unknown;
  readonly query: unknown;
  readonly body: unknown;
}

/** Ids for one request. */
export interface RequestIds {
  readonly newId: () => string;
  readonly commandId: string;
}

/** A request that passed validation and waits to be handled. */
export interface AcceptedRequest {
  /** The validated body, the same for the same request: what an idempotency key is bound to. */
  readonly body: unknown;
  readonly params: unknown;
  readonly run: (ids: RequestIds) => Promise<RouteResponse>;
}

/** A route whose types are settled. */
export interface Route {
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  readonly path: string;
  readonly summary: string;
  readonly params: z.ZodObject | undefined;
  readonly query: z.ZodObject | undefined;
  readonly body: z.ZodType | undefined;
  readonly responses: Readonly<Record<number, DocumentedResponse>>;
  /** @throws {Problem} 422 that names each wrong field */
  readonly accept: (raw: RawRequest) => AcceptedRequest;
}

/** Defines a route. */
export function route<
  Params extends z.ZodObject = z.ZodObject,
  Query extends z.ZodObject = z.ZodObject,
  Body extends z.ZodType = z.ZodType,
>(definition: RouteDefinition<Params, Query, Body>): Route {
  const { handle, params, query, body, ...described } = definition;
  return {
    ...described,
    params,
    query,
    body,
    accept: (raw) => {
      const checked = {
        params: check('path', params, raw.params) as z.infer<Params>,
        query: check('query', query, raw.query) as z.infer<Query>,
        body: check('body', body, raw.body) as z.infer<Body>,
      };
      return {
        params: checked.params,
        body: checked.body,
        run: async ({ newId, commandId }) => handle({ ...checked, newId, commandId }),
      };
    },
  };
}

function check(where: 'path' | 'query' | 'body', schema: z.ZodType | undefined, value: unknown): unknown {
  if (schema === undefined) return undefined;
  const result = schema.safeParse(value);
  if (!result.success) throw invalid(where, result.error.issues);
  return result.data;
}
