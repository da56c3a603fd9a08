/**
 * Every error of the operator, by its stable code.
 *
 * | code                          | class                | what to do                                                       |
 * |-------------------------------|----------------------|------------------------------------------------------------------|
 * | WARREN_USAGE                  | UsageError           | correct the command line                                         |
 * | WARREN_FOLDER                 | FolderError          | the folder cannot be read, or the state is another folder's      |
 * | WARREN_BROKER_SECRET          | BrokerSecretError    | correct the Secret that the EventBroker names                    |
 * | WARREN_BINDING_TAKEN          | BindingTakenError    | rename or remove the Secret that has the binding's name          |
 * | WARREN_PORT_TAKEN             | PortTakenError       | set OPERATOR_PORT to a port that is free                         |
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

/** A Secret that the operator did not make has the name of a binding. It is not touched. */
export class BindingTakenError extends OperatorError {
  override readonly name = 'BindingTakenError';

  constructor(secret: string) {
    super(
      'WARREN_BINDING_TAKEN',
      `the Secret ${secret} exists and is not a binding of Warren's: rename or remove it, or rename the EventSubscription`,
    );
  }
}

/** Somebody else listens on the port for /livez, /readyz and /metrics. */
export class PortTakenError extends OperatorError {
  override readonly name = 'PortTakenError';

  constructor(port: number) {
    super('WARREN_PORT_TAKEN', `port ${port} is taken: set OPERATOR_PORT to another one`);
  }
}
