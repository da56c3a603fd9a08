/**
 * Every error that this package throws, each with a stable `code`.
 *
 * | code | class | means | what to do |
 * |---|---|---|---|
 * | `WARREN_CONTROLLER_TERMINAL` | TerminalError | the key must not be retried | change the object |
 * | `WARREN_CONTROLLER_RECONCILE_TIMEOUT` | ReconcileTimeoutError | a reconcile took longer than it may: the reason of its signal | it is tried again |
 * | `WARREN_CONTROLLER_SYNC_TIMEOUT` | SyncTimeoutError | a source did not list what there is in time; no worker was started | look at the API server and the rights to list |
 * | `WARREN_CONTROLLER_STOPPED` | StoppedError | the reason of a signal whose owner is being stopped | nothing |
 * | `WARREN_CONTROLLER_LEADERSHIP_LOST` | LeadershipLostError | the lease went to another, or could not be renewed | end the process; the next start stands by |
 * | `WARREN_K8S_BAD_REQUEST` | BadRequestError | 400 | fix the caller |
 * | `WARREN_K8S_UNAUTHORIZED` | UnauthorizedError | 401: the credentials are not, or no longer, accepted | look at the token |
 * | `WARREN_K8S_FORBIDDEN` | ForbiddenError | 403: RBAC or admission refuses | grant the right that the message names |
 * | `WARREN_K8S_NOT_FOUND` | NotFoundError | 404 | |
 * | `WARREN_K8S_CONFLICT` | ConflictError | 409: somebody else was faster, or owns the field | read again |
 * | `WARREN_K8S_ALREADY_EXISTS` | AlreadyExistsError | 409 of a create | |
 * | `WARREN_K8S_GONE` | GoneError | 410, or Expired in a watch: the history asked for is no longer there | list again; the reflector does |
 * | `WARREN_K8S_INVALID` | InvalidError | 422: a value is refused | fix the field that the message names |
 * | `WARREN_K8S_TOO_MANY_REQUESTS` | TooManyRequestsError | 429 | wait as long as it says; the client does |
 * | `WARREN_K8S_SERVER_ERROR` | ServerError | 5xx | tried again |
 * | `WARREN_K8S_CONNECTION` | ConnectionError | no answer: refused, reset, not resolved, or ended in the middle | tried again |
 * | `WARREN_K8S_TIMEOUT` | RequestTimeoutError | no answer in time; whether the server acted is unknown | read, then decide |
 * | `WARREN_K8S_CREDENTIALS` | CredentialsError | the credentials could not be obtained; nothing was sent | look at the token file or the plugin |
 * | `WARREN_K8S_MALFORMED_RESPONSE` | MalformedResponseError | the answer is not what the API promises | look at what stands between |
 * | `WARREN_K8S_ERROR` | KubernetesError | any other status; what the others extend | |
 *
 * No message contains a request body, a header or credentials; messages about Secrets leave out what the server says of values.
 */

/** The key must not be retried: only a change of the object can help. Any error with `terminal: true` counts as one. */
export class TerminalError extends Error {
  override readonly name = 'TerminalError';
  readonly code: string = 'WARREN_CONTROLLER_TERMINAL';
  readonly terminal = true;
}

/** The reason of `signal` when a reconcile takes longer than it may. */
export class ReconcileTimeoutError extends Error {
  override readonly name = 'ReconcileTimeoutError';
  readonly code = 'WARREN_CONTROLLER_RECONCILE_TIMEOUT';
}

/** A source did not list what there is in time, so the workers were not started. */
export class SyncTimeoutError extends Error {
  override readonly name = 'SyncTimeoutError';
  readonly code = 'WARREN_CONTROLLER_SYNC_TIMEOUT';
}

/** The reason of a signal that aborts because its owner is being stopped. */
export class StoppedError extends Error {
  override readonly name = 'StoppedError';
  readonly code = 'WARREN_CONTROLLER_STOPPED';
}

/** The lease went to somebody else, or could not be renewed in time. */
export class LeadershipLostError extends Error {
  override readonly name = 'LeadershipLostError';
  readonly code = 'WARREN_CONTROLLER_LEADERSHIP_LOST';
}

/** What is known about a failed request. */
export interface FailedRequest {
  /** HTTP status; 0 when there was no answer. */
  status: number;
  /** `reason` of the API server's Status object. */
  reason?: string | undefined;
  /** `GET /api/v1/namespaces/x/secrets/y`, without the query. */
  request: string;
  /** How long the server asks to stay away, in milliseconds. */
  retryAfterMs?: number | undefined;
  /** What the server says that is wrong, field by field. */
  causes?: { reason?: string; field?: string }[] | undefined;
}

/** A request to the API server that did not succeed. */
export class KubernetesError extends Error implements FailedRequest {
  override readonly name: string = 'KubernetesError';
  readonly code: string = 'WARREN_K8S_ERROR';
  readonly status: number;
  readonly reason: string | undefined;
  readonly request: string;
  readonly retryAfterMs: number | undefined;
  readonly causes: { reason?: string; field?: string }[];

  constructor(message: string, failed: FailedRequest) {
    super(message);
    this.status = failed.status;
    this.reason = failed.reason;
    this.request = failed.request;
    this.retryAfterMs = failed.retryAfterMs;
    this.causes = failed.causes ?? [];
  }
}

/** 400: the request itself makes no sense to the server. */
export class BadRequestError extends KubernetesError {
  override readonly name = 'BadRequestError';
  override readonly code = 'WARREN_K8S_BAD_REQUEST';
}
/** 401: the credentials are not (or no longer) accepted. */
export class UnauthorizedError extends KubernetesError {
  override readonly name = 'UnauthorizedError';
  override readonly code = 'WARREN_K8S_UNAUTHORIZED';
}
/** 403: RBAC or admission refuses. */
export class ForbiddenError extends KubernetesError {
  override readonly name = 'ForbiddenError';
  override readonly code = 'WARREN_K8S_FORBIDDEN';
}
/** 404 */
export class NotFoundError extends KubernetesError {
  override readonly name = 'NotFoundError';
  override readonly code = 'WARREN_K8S_NOT_FOUND';
}
/** 409: somebody else was faster, or owns the field. Read again. */
export class ConflictError extends KubernetesError {
  override readonly name = 'ConflictError';
  override readonly code = 'WARREN_K8S_CONFLICT';
}
/** 409 of a create. */
export class AlreadyExistsError extends KubernetesError {
  override readonly name = 'AlreadyExistsError';
  override readonly code = 'WARREN_K8S_ALREADY_EXISTS';
}
/** 410, or Expired in a watch: the history asked for is no longer there. List again. */
export class GoneError extends KubernetesError {
  override readonly name = 'GoneError';
  override readonly code = 'WARREN_K8S_GONE';
}
/** 422: the server understands and refuses a value. */
export class InvalidError extends KubernetesError {
  override readonly name = 'InvalidError';
  override readonly code = 'WARREN_K8S_INVALID';
}
/** 429 */
export class TooManyRequestsError extends KubernetesError {
  override readonly name = 'TooManyRequestsError';
  override readonly code = 'WARREN_K8S_TOO_MANY_REQUESTS';
}
/** 5xx */
export class ServerError extends KubernetesError {
  override readonly name = 'ServerError';
  override readonly code = 'WARREN_K8S_SERVER_ERROR';
}
/** No answer: refused, reset, not resolved, or ended in the middle. */
export class ConnectionError extends KubernetesError {
  override readonly name = 'ConnectionError';
  override readonly code = 'WARREN_K8S_CONNECTION';
}
/** No answer in time. Whether the server acted is unknown. */
export class RequestTimeoutError extends KubernetesError {
  override readonly name = 'RequestTimeoutError';
  override readonly code = 'WARREN_K8S_TIMEOUT';
}
/** The credentials could not be obtained (token file, exec plugin), so nothing was sent. */
export class CredentialsError extends KubernetesError {
  override readonly name = 'CredentialsError';
  override readonly code = 'WARREN_K8S_CREDENTIALS';
}
/** The server sent something that is not what its API promises. */
export class MalformedResponseError extends KubernetesError {
  override readonly name = 'MalformedResponseError';
  override readonly code = 'WARREN_K8S_MALFORMED_RESPONSE';
}

/** The API server's Status object, as much of it as matters. */
export interface StatusObject {
  kind?: string;
  status?: string;
  message?: string;
  reason?: string;
  code?: number;
  details?: { retryAfterSeconds?: number; causes?: { reason?: string; message?: string; field?: string }[] };
}

/** Does the error say that it must not be retried? */
export function isTerminal(error: unknown): boolean {
  return error instanceof Error && (error as { terminal?: unknown }).terminal === true;
}

/** What the error says about when to come back, in milliseconds; 0 when it says nothing. */
export function retryAfterOf(error: unknown): number {
  const after = error instanceof Error ? (error as { retryAfterMs?: unknown }).retryAfterMs : undefined;
  return typeof after === 'number' && after > 0 ? after : 0;
}

/** The error for an answer (or a watch's ERROR event) with the given HTTP status. */
export function errorOfStatus(failed: FailedRequest, body: StatusObject | undefined): KubernetesError {
  const { status } = failed;
  const reason = body?.reason ?? failed.reason;
  const causes = body?.details?.causes?.map(({ reason: why, field }) => ({
    ...(why === undefined ? {} : { reason: why }),
    ...(field === undefined ? {} : { field }),
  }));
  const seconds = body?.details?.retryAfterSeconds;
  const full: FailedRequest = {
    ...failed,
    reason,
    causes,
    retryAfterMs: failed.retryAfterMs ?? (seconds === undefined ? undefined : seconds * 1000),
  };
  // The server repeats refused values in its message; those of a Secret are nobody's business.
  const quiet = /\/secrets(\/|$)/.test(failed.request);
  const said = quiet ? reason : (body?.message ?? reason);
  const message = `${failed.request}: ${status}${said === undefined ? '' : ` ${said}`}`;
  if (status === 410 || reason === 'Expired' || reason === 'Gone') return new GoneError(message, full);
  switch (status) {
    case 400:
      return new BadRequestError(message, full);
    case 401:
      return new UnauthorizedError(message, full);
    case 403:
      return new ForbiddenError(message, full);
    case 404:
      return new NotFoundError(message, full);
    case 409:
      return reason === 'AlreadyExists'
        ? new AlreadyExistsError(message, full)
        : new ConflictError(message, full);
    case 422:
      return new InvalidError(message, full);
    case 429:
      return new TooManyRequestsError(message, full);
    default:
      return status >= 500 ? new ServerError(message, full) : new KubernetesError(message, full);
  }
}
