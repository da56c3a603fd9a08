/**
 * Every error of this package, each with a stable `code` that callers, alerts and documents may rely on.
 * No message, cause or property ever holds a password: see endpoint.ts.
 *
 * Messages
 * | code                        | class                  | was the message taken?                  | what to do               |
 * |-----------------------------|------------------------|-----------------------------------------|--------------------------|
 * | WARREN_UNROUTABLE           | UnroutableError        | no: no queue is bound for it            | hold it, fix the binding |
 * | WARREN_NACKED               | NackedError            | no: refused (queue full or failing)     | publish again, later     |
 * | WARREN_OUTCOME_UNKNOWN      | OutcomeUnknownError    | nobody knows                            | publish again (same id)  |
 * | WARREN_BROKER_UNAVAILABLE   | BrokerUnavailableError | no: it was never sent                   | publish again, later     |
 * | WARREN_MESSAGE_REFUSED      | MessageRefusedError    | no: it can not be encoded or is too big | do not retry             |
 * | WARREN_PUBLISH_FORBIDDEN    | PublishForbiddenError  | no, unless the right was just taken away | grant it; publish again  |
 * | WARREN_CLOSED               | ClosedError            | no: the publisher is closed             | do not retry             |
 * | WARREN_PERMANENT            | PermanentError         | thrown by handlers: dead letter at once |                          |
 * | WARREN_HANDLER_TIMEOUT      | HandlerTimeoutError    | reason of a handler's aborted signal    |                          |
 * | WARREN_DELIVERY_LOST        | DeliveryLostError      | reason of a handler's aborted signal    |                          |
 * | WARREN_CONSUMER_STOPPED     | ConsumerStoppedError   | reason of a handler's aborted signal    |                          |
 * | WARREN_MOVE_FAILED          | MoveFailedError        | some of them; the rest is where it was  | move again               |
 *
 * Connection (BrokerConnectionError) and management API (ManagementError)
 * | code                        | means                                                         | what to do                      |
 * |-----------------------------|---------------------------------------------------------------|---------------------------------|
 * | WARREN_BROKER_UNREACHABLE   | nothing answers there, not in time, or it went away           | it is tried again               |
 * | WARREN_BROKER_UNTRUSTED     | the certificates do not fit: theirs for us, or ours for them  | correct ca.crt, tls.crt         |
 * | WARREN_BROKER_UNAUTHORIZED  | user or password refused                                      | correct the Secret              |
 * | WARREN_BROKER_FORBIDDEN     | the virtual host is missing, or not allowed for this user     | grant it, or correct the Secret |
 * | WARREN_BROKER_NOT_FOUND     | what is named is not there                                    | make it first                   |
 * | WARREN_BROKER_CONFLICT      | it exists with other arguments; nothing was changed           | migrate, or adopt it            |
 * | WARREN_BROKER_REFUSED       | the broker refuses the request                                | read its reason                 |
 * | WARREN_BROKER_FAILED        | the broker failed (5xx), or asks to be left alone (429)       | it is tried again               |
 * | WARREN_BROKER_BAD_ANSWER    | an answer that is not what RabbitMQ's API gives               | look at what stands between     |
 */
export class RabbitError extends Error {
  override readonly name: string = 'RabbitError';
  readonly code: string;

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** The broker took the message and found no queue for it. It is nowhere. */
export class UnroutableError extends RabbitError {
  override readonly name = 'UnroutableError';
  readonly exchange: string;
  readonly routingKey: string;

  constructor(exchange: string, routingKey: string, reason: string) {
    super(
      'WARREN_UNROUTABLE',
      `no queue on exchange "${exchange}" takes routing key "${routingKey}" (${reason})`,
    );
    this.exchange = exchange;
    this.routingKey = routingKey;
  }
}

/** The broker said no: a queue is full (overflow reject-publish) or could not store the message. */
export class NackedError extends RabbitError {
  override readonly name = 'NackedError';

  constructor(exchange: string, routingKey: string) {
    super(
      'WARREN_NACKED',
      `the broker refused the message for "${routingKey}" on exchange "${exchange}": a queue is full or failing`,
    );
  }
}

/** The message was sent, and no confirm came: it may or may not be on the broker. Publish it again with the same id. */
export class OutcomeUnknownError extends RabbitError {
  override readonly name = 'OutcomeUnknownError';

  constructor(why: string, cause?: unknown) {
    super('WARREN_OUTCOME_UNKNOWN', `no confirm for a message that was sent: ${why}`, { cause });
  }
}

/** The message was never sent: no connection, a blocked connection, or a full window for longer than the bound. */
export class BrokerUnavailableError extends RabbitError {
  override readonly name = 'BrokerUnavailableError';

  constructor(why: string, cause?: unknown) {
    super('WARREN_BROKER_UNAVAILABLE', `the message was not sent: ${why}`, { cause });
  }
}

/** The message can never be sent as it is: too large, or a header that has no AMQP form. */
export class MessageRefusedError extends RabbitError {
  override readonly name = 'MessageRefusedError';

  constructor(why: string, cause?: unknown) {
    super('WARREN_MESSAGE_REFUSED', `the message can not be sent: ${why}`, { cause });
  }
}

/**
 * The broker does not let this user publish to the exchange, or not with this routing key. Publish it again when it does: should
 * the right have been taken away while messages of this key were outstanding, it may have taken this one before.
 */
export class PublishForbiddenError extends RabbitError {
  override readonly name = 'PublishForbiddenError';
  readonly exchange: string;
  readonly routingKey: string;

  constructor(exchange: string, routingKey: string, cause?: unknown) {
    super(
      'WARREN_PUBLISH_FORBIDDEN',
      `the user of this connection may not publish "${routingKey}" to exchange "${exchange}": ` +
        'name the event in spec.events of its EventPublisher, or grant it on the broker',
      { cause },
    );
    this.exchange = exchange;
    this.routingKey = routingKey;
  }
}

/** Used after close(), or still waiting to be sent at close(). */
export class ClosedError extends RabbitError {
  override readonly name = 'ClosedError';

  constructor(what: string) {
    super('WARREN_CLOSED', `${what} is closed`);
  }
}

/** What a handler throws when no retry can help: the message goes to the dead letters at once. */
export class PermanentError extends RabbitError {
  override readonly name = 'PermanentError';
  readonly permanent = true;

  constructor(message: string, options?: { cause?: unknown }) {
    super('WARREN_PERMANENT', message, options);
  }
}

/** The handler took longer than `handlerTimeoutMs`; its delivery counts as failed. */
export class HandlerTimeoutError extends RabbitError {
  override readonly name = 'HandlerTimeoutError';

  constructor(timeoutMs: number) {
    super('WARREN_HANDLER_TIMEOUT', `the handler took longer than ${timeoutMs} ms`);
  }
}

/** The channel that brought the delivery is gone; the broker gives the message out again. */
export class DeliveryLostError extends RabbitError {
  override readonly name = 'DeliveryLostError';

  constructor(cause?: unknown) {
    super('WARREN_DELIVERY_LOST', 'the channel of this delivery is gone; it is delivered again', { cause });
  }
}

/** The consumer stopped and its deadline passed before the handler was done; the message is delivered again. */
export class ConsumerStoppedError extends RabbitError {
  override readonly name = 'ConsumerStoppedError';

  constructor() {
    super('WARREN_CONSUMER_STOPPED', 'the consumer stopped before the handler was done');
  }
}

/** A run of moving messages from one queue to another came to an early end. */
export class MoveFailedError extends RabbitError {
  override readonly name = 'MoveFailedError';

  constructor(from: string, to: string, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause);
    super('WARREN_MOVE_FAILED', `moving messages from ${from} to ${to} stopped: ${why}`, { cause });
  }
}

export type BrokerConnectionCode =
  | 'WARREN_BROKER_UNREACHABLE' // nothing answers there, or it went away
  | 'WARREN_BROKER_UNTRUSTED' // the certificates do not fit
  | 'WARREN_BROKER_UNAUTHORIZED' // user or password refused
  | 'WARREN_BROKER_FORBIDDEN'; // virtual host missing, or not allowed for this user

/** Why a connection could not be made or was lost. */
export class BrokerConnectionError extends RabbitError {
  override readonly name = 'BrokerConnectionError';
  declare readonly code: BrokerConnectionCode;
}

export type ManagementCode =
  | 'WARREN_BROKER_UNREACHABLE' // no answer in time, or no connection
  | 'WARREN_BROKER_UNTRUSTED' // the certificates do not fit
  | 'WARREN_BROKER_UNAUTHORIZED' // 401
  | 'WARREN_BROKER_FORBIDDEN' // 403, and 401 for a user who lacks a right
  | 'WARREN_BROKER_NOT_FOUND' // 404
  | 'WARREN_BROKER_CONFLICT' // 409, and 400 for an object that exists with other arguments
  | 'WARREN_BROKER_REFUSED' // any other 4xx
  | 'WARREN_BROKER_FAILED' // 5xx, 429
  | 'WARREN_BROKER_BAD_ANSWER'; // an answer that is not what RabbitMQ's API gives

/** A call of the management API that failed. `status` is absent when there was no answer. */
export class ManagementError extends RabbitError {
  override readonly name = 'ManagementError';
  declare readonly code: ManagementCode;
  readonly status: number | undefined;
  /** Method and path, without host or credentials. */
  readonly call: string;

  constructor(
    code: ManagementCode,
    call: string,
    reason: string,
    details: { status?: number; cause?: unknown } = {},
  ) {
    super(code, `${call}: ${reason}`, { cause: details.cause });
    this.status = details.status;
    this.call = call;
  }
}

/** True for an error that says by itself that no retry can help. */
export function isPermanent(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  const { permanent, code } = error as { permanent?: unknown; code?: unknown };
  return permanent === true || code === 'WARREN_PERMANENT';
}

/** What was thrown, as an error. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

/** What an error says; the AggregateError of a name with several addresses has no message, but a code. */
export function errorText(error: unknown): string {
  if (typeof error !== 'object' || error === null) return String(error);
  const { message, code, name } = error as { message?: unknown; code?: unknown; name?: unknown };
  const said = [message, code, name].find((each) => typeof each === 'string' && each !== '');
  return typeof said === 'string' ? said : 'unknown error';
}
