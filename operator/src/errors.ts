/**
 * Every error of the operator, by its stable code.
 *
 * | code                          | class                | what to do                                                       |
 * |-------------------------------|----------------------|------------------------------------------------------------------|
 * | WARREN_USAGE                  | UsageError           | correct the command line                                         |
 * | WARREN_FOLDER                 | FolderError          | the folder cannot be read, or the state is another folder's      |
 * | WARREN_BROKER_SECRET          | BrokerSecretError    | correct the Secret that the EventBroker names                    |
 * | WARREN_VIRTUAL_HOST_TAKEN     | VirtualHostTakenError | give the EventBroker a virtual host of its own, or adopt it      |
 * | WARREN_BINDING_TAKEN          | BindingTakenError    | rename or remove the Secret that has the binding's name          |
 * | WARREN_PORT_TAKEN             | PortTakenError       | set the variable that the message names to a port that is free   |
 * | WARREN_CONSUMER_USER          | ConsumerUserError    | give the broker's user the tag administrator, or let consumers share it |
 */
export class OperatorError extends Error {
  override readonly name: string = 'OperatorError';
  readonly code: string;

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** The command line makes no sense; the message says what would. */
export class UsageError extends OperatorError {
  override readonly name = 'UsageError';

  constructor(message: string) {
    super('WARREN_USAGE', message);
  }
}

/** The folder of resources or the state folder cannot be used. */
export class FolderError extends OperatorError {
  override readonly name = 'FolderError';

  constructor(message: string, options?: { cause?: unknown }) {
    super('WARREN_FOLDER', message, options);
  }
}

/** An EventBroker's Secret is missing or says something unusable. Never quotes a value. */
export class BrokerSecretError extends OperatorError {
  override readonly name = 'BrokerSecretError';

  constructor(message: string) {
    super('WARREN_BROKER_SECRET', message);
  }
}

/** Another EventBroker, of this cluster or of another, has the virtual host. Nothing in it is touched. */
export class VirtualHostTakenError extends OperatorError {
  override readonly name = 'VirtualHostTakenError';

  constructor(message: string) {
    super('WARREN_VIRTUAL_HOST_TAKEN', message);
  }
}

/** A Secret that the operator did not make has the name of a binding. It is not touched. */
export class BindingTakenError extends OperatorError {
  override readonly name = 'BindingTakenError';

  constructor(secret: string) {
    super(
      'WARREN_BINDING_TAKEN',
      `the Secret ${secret} exists and is somebody else's: rename or remove it, or rename the resource whose binding it would be`,
    );
  }
}

/** Somebody else listens on a port that the operator serves on. */
export class PortTakenError extends OperatorError {
  override readonly name = 'PortTakenError';

  constructor(port: number, variable: string) {
    super('WARREN_PORT_TAKEN', `port ${port} is taken: set ${variable} to another one`);
  }
}

/** Consumers are to have users of their own, and the broker's user may not make them. */
export class ConsumerUserError extends OperatorError {
  override readonly name = 'ConsumerUserError';

  constructor(broker: string, options?: { cause?: unknown }) {
    super('WARREN_CONSUMER_USER', notAdministrator(broker), options);
  }
}

/** What to do about it, for an error and for a condition. */
export function notAdministrator(broker: string): string {
  return (
    `the user in the Secret of EventBroker "${broker}" may not make users on the broker: give it the tag administrator, ` +
    'or write consumerCredentials.mode Shared, which hands that user to every consumer'
  );
}
