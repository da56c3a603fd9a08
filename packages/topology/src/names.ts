/** The names of a subscription's objects on the broker. They follow from its namespace and name, and never change. */

/** The topic exchange that every service publishes to, where an EventBroker names no other. Shared: never deleted. */
export const EVENTS_EXCHANGE = 'events';

/** The exchange that a message reaches after its last attempt, where an EventBroker names no other. Shared: never deleted. */
export const FAILED_EVENTS_EXCHANGE = 'failed_events';

/** What the two shared exchanges of a virtual host are called. */
export interface ExchangeNames {
  events: string;
  failedEvents: string;
}

export const DEFAULT_EXCHANGES: ExchangeNames = {
  events: EVENTS_EXCHANGE,
  failedEvents: FAILED_EVENTS_EXCHANGE,
};

export interface Names {
  /** `namespace.name`; also the routing key of its dead letters. */
  queue: string;
  /** `namespace.name.dead` */
  deadLetterQueue: string;
}

export function namesOf(namespace: string, name: string): Names {
  const queue = `${namespace}.${name}`;
  return { queue, deadLetterQueue: `${queue}.dead` };
}

/** `namespace.name.wait.<ms>`: holds a message that long, and gives it back. */
export function waitQueueOf(queue: string, delayMs: number): string {
  return `${queue}.wait.${delayMs}`;
}

/** The queue that a wait queue gives its messages back to; undefined for a name of another form. */
export function queueOfWaitQueue(waitQueue: string): string | undefined {
  return /^(.+)\.wait\.[0-9]+$/.exec(waitQueue)?.[1];
}
