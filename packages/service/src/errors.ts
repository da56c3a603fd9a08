/**
 * Every error of this package, each with a stable code.
 *
 * | code | class | meaning |
 * |---|---|---|
 * | WARREN_SETTINGS | SettingsError | an environment variable is missing or wrong; the service does not start |
 * | WARREN_BINDING | BindingError | a binding folder is there but cannot be used |
 * | WARREN_REFUSED | Refusal | a command is against the rules of the domain: 409 by HTTP, dead letter as a message |
 * | WARREN_RETRY_LATER | RetryLaterError | a message came before what it needs; it is tried again |
 * | WARREN_NO_BROKER | NoBrokerError | nothing says yet which broker to publish to |
 * | WARREN_TIME_LIMIT | TimeLimitError | something took longer than it was given |
 * | WARREN_PROBLEM | Problem | what a route answers instead of a result: a status and a `reason` (problem.ts) |
 */

/** The settings are wrong. The message names each variable and what to write. */
export class SettingsError extends Error {
  readonly code = 'WARREN_SETTINGS';
  override readonly name = 'SettingsError';
}

/** A binding folder exists but is incomplete or has a value that makes no sense. Never carries the values. */
export class BindingError extends Error {
  readonly code = 'WARREN_BINDING';
  override readonly name = 'BindingError';
}

/**
 * The domain says no. Thrown by deciders.
 *
 * As the answer to a request it is a 409 whose `reason` is {@link reason}; as the answer to a message it is
 * permanent, since the same message would be refused again.
 */
export class Refusal extends Error {
  readonly code = 'WARREN_REFUSED';
  override readonly name = 'Refusal';
  readonly permanent = true;
  /** Stable, for programs: `order-already-closed`. */
  readonly reason: string;

  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** A message came too early, for example before the fact that it builds on. The broker delivers it again. */
export class RetryLaterError extends Error {
  readonly code = 'WARREN_RETRY_LATER';
  override readonly name = 'RetryLaterError';
}

/** There is no broker to publish to: neither RABBITMQ_URL nor a binding with a uri. */
export class NoBrokerError extends Error {
  readonly code = 'WARREN_NO_BROKER';
  override readonly name = 'NoBrokerError';
}

/** A step took longer than its time limit. What it began may still go on. */
export class TimeLimitError extends Error {
  readonly code = 'WARREN_TIME_LIMIT';
  override readonly name = 'TimeLimitError';
}

/** The stable code of an error, or its name: bounded, so that it can be a label. */
export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'UNKNOWN';
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}
