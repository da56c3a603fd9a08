/**
 * Errors as HTTP says them: `application/problem+json` (RFC 9457).
 *
 * Everything that a handler throws becomes exactly one problem: a {@link Problem} as it is, a {@link Refusal} as 409,
 * body parser errors as 400, 413 or 415, a database or broker that is away, and what else passes, as 503, all else as
 * 500 without a word about the inside.
 */
import type { z } from 'zod';
import { Refusal } from './errors.ts';
import { isUnavailable } from './unavailable.ts';

/** One wrong value of a request. */
export interface FieldError {
  /** `lines[0].quantity`; empty when the whole value is wrong. */
  readonly field: string;
  /** The same as a JSON pointer, `#/lines/0/quantity`. */
  readonly pointer: string;
  /** Where to look: the body, the query or the path. */
  readonly in: 'body' | 'query' | 'path' | 'header';
  readonly message: string;
}

/** The body of an error response. */
export interface ProblemDocument {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail?: string;
  readonly instance?: string;
  /** Stable, for programs: `email-taken`. */
  readonly reason: string;
  readonly errors?: readonly FieldError[];
}

const titles: Record<number, string> = {
  400: 'Bad request',
  404: 'Not found',
  405: 'Method not allowed',
  409: 'Conflict',
  413: 'Body too large',
  415: 'Unsupported media type',
  422: 'Invalid request',
  500: 'Internal error',
  503: 'Service unavailable',
};

/** An answer that is a problem. Throw it anywhere in a route. */
export class Problem extends Error {
  readonly code = 'WARREN_PROBLEM';
  override readonly name = 'Problem';
  readonly status: number;
  readonly reason: string;
  readonly errors: readonly FieldError[] | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    reason: string,
    detail: string,
    more: { errors?: readonly FieldError[]; headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(detail);
    this.status = status;
    this.reason = reason;
    this.errors = more.errors;
    this.headers = more.headers ?? {};
  }

  /** The body; `instance` is the id of the request, to be found in the logs. */
  document(instance?: string): ProblemDocument {
    return {
      type: `urn:warren:problem:${this.reason}`,
      title: titles[this.status] ?? 'Error',
      status: this.status,
      detail: this.message,
      reason: this.reason,
      ...(instance === undefined ? {} : { instance: `urn:request:${instance}` }),
      ...(this.errors === undefined ? {} : { errors: this.errors }),
    };
  }
}

/** The 404 of a thing that is not there. */
export function notFound(what: string): Problem {
  return new Problem(404, 'not-found', `There is no ${what}.`);
}

/** The 422 that names each wrong field. */
export function invalid(where: FieldError['in'], issues: readonly z.core.$ZodIssue[]): Problem {
  const errors = issues.flatMap((issue) => fieldErrors(where, issue));
  const named = errors.map((error) =>
    error.field === '' ? error.message : `${error.field}: ${error.message}`,
  );
  return new Problem(422, 'invalid', `The ${where} is not valid: ${named.slice(0, 3).join('; ')}.`, {
    errors,
  });
}

function fieldErrors(where: FieldError['in'], issue: z.core.$ZodIssue): FieldError[] {
  const at = (path: readonly PropertyKey[], message: string): FieldError => ({
    field: fieldName(path),
    pointer: `#${path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')}`,
    in: where,
    message,
  });
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => at([...issue.path, key], 'is not known here'));
  }
  return [at(issue.path, issue.message)];
}

function fieldName(path: readonly PropertyKey[]): string {
  return path
    .map((part, index) =>
      typeof part === 'number' ? `[${part}]` : index === 0 ? String(part) : `.${String(part)}`,
    )
    .join('');
}

/** The one problem that an error is. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof Refusal) return new Problem(409, error.reason, error.message);
  return (
    parserProblem(error) ?? unavailable(error) ?? new Problem(500, 'internal', 'Something went wrong here.')
  );
}

/** What express and its body parser throw: http-errors with a `type` and a `status`. */
function parserProblem(error: unknown): Problem | undefined {
  if (!(error instanceof Error) || !('status' in error) || typeof error.status !== 'number') return undefined;
  if (error.status < 400 || error.status > 499) return undefined;
  const type = 'type' in error && typeof error.type === 'string' ? error.type : '';
  switch (type) {
    case 'entity.parse.failed':
      return new Problem(400, 'malformed-json', 'The body is not JSON.', {
        errors: [{ field: '', pointer: '#', in: 'body', message: jsonComplaint(error) }],
      });
    case 'entity.too.large': {
      const limit = 'limit' in error ? ` of ${String(error.limit)} bytes` : '';
      return new Problem(413, 'body-too-large', `The body is over the limit${limit}.`);
    }
    case 'charset.unsupported':
    case 'encoding.unsupported':
      return new Problem(
        415,
        'unsupported-encoding',
        'The body has an encoding that is not read here: send UTF-8.',
      );
    default:
      return new Problem(error.status, 'bad-request', 'The request cannot be read.');
  }
}

/** The parser's sentence without the piece of the body that newer V8s quote in it. */
function jsonComplaint(error: Error): string {
  const position = /position \d+(?: \(line \d+ column \d+\))?/.exec(error.message)?.[0];
  return position === undefined ? 'is not JSON' : `is not JSON at ${position}`;
}

/** What passes, by the code of its error. */
const passing = new Map<unknown, string>([
  ['WARREN_CONCURRENCY', 'Too many want to change this at once.'],
  ['WARREN_LOG_NEWER', 'The service is being updated.'],
  ['WARREN_TIME_LIMIT', 'This takes too long, and may still be done.'],
]);

/** The database is away, or something else that passes: the client may try again. */
function unavailable(error: unknown): Problem | undefined {
  const why = isUnavailable(error)
    ? 'The database does not answer now.'
    : error instanceof Error && 'code' in error
      ? passing.get(error.code)
      : undefined;
  if (why === undefined) return undefined;
  return new Problem(503, 'unavailable', `${why} Try again soon.`, { headers: { 'Retry-After': '2' } });
}
