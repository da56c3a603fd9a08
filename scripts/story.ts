/**
 * What happened, out of the log records of the services: which events were published, by whom, and who took
 * them, how long that took, and what failed. Pure; knows nothing but what it hears.
 *
 * Records of different processes come in any order: a consumer may tell of an event before its publisher does.
 */
import type { LogRecord } from './managed-process.ts';

/** One attempt of one subscription at one event. Times are milliseconds since 1970. */
export interface Taking {
  readonly subscription: string;
  readonly at: number;
  readonly attempt: number;
  readonly outcome: 'handled' | 'duplicate' | 'failed' | 'set aside';
  /** How long the handler took, where it says so. */
  readonly ms?: number;
  /** Why it failed. */
  readonly reason?: string;
  /** Where a message that was set aside lies now. */
  readonly deadLetter?: string;
}

/** An event as its publisher and its consumers tell of it. */
export interface ToldEvent {
  readonly id: string;
  type: string;
  correlationId: string | undefined;
  /** When it happened. */
  at: number | undefined;
  publisher: string | undefined;
  /** When the broker had confirmed it. */
  publishedAt: number | undefined;
  readonly takings: Taking[];
}

export class Story {
  readonly #events = new Map<string, ToldEvent>();
  /** Counts what was heard, so that a listener knows whether there is something new. */
  heard = 0;

  /** Takes in a record; others than those about events are ignored. */
  hear(record: LogRecord): void {
    switch (record['msg']) {
      case 'event published':
        this.#published(record);
        break;
      case 'event consumed':
        this.#taken(text(record['eventId']), record, {
          outcome: record['outcome'] === 'duplicate' ? 'duplicate' : 'handled',
          ...(typeof record['ms'] === 'number' ? { ms: record['ms'] } : {}),
        });
        break;
      case 'an event could not be handled':
        this.#taken(text(record['eventId']), record, { outcome: 'failed', reason: reasonOf(record) });
        break;
      case 'a message was set aside':
        this.#taken(text(record['messageId']), record, {
          outcome: 'set aside',
          reason: reasonOf(record),
          deadLetter: deadLetterOf(record),
        });
        break;
      default:
        return;
    }
    this.heard += 1;
  }

  /** All events, in the order they happened. */
  get events(): readonly ToldEvent[] {
    return [...this.#events.values()].sort((a, b) => timeOf(a) - timeOf(b));
  }

  /** The events of one conversation: all that one request caused. */
  conversation(correlationId: string): readonly ToldEvent[] {
    return this.events.filter((event) => event.correlationId === correlationId);
  }

  event(id: string): ToldEvent | undefined {
    return this.#events.get(id);
  }

  #published(record: LogRecord): void {
    const event = this.#eventOf(text(record['eventId']), record);
    event.publisher = text(record['service']);
    event.publishedAt = Date.parse(text(record['time']));
    event.at = Date.parse(text(record['at']));
  }

  #taken(
    id: string,
    record: LogRecord,
    taking: Pick<Taking, 'outcome' | 'ms' | 'reason' | 'deadLetter'>,
  ): void {
    this.#eventOf(id, record).takings.push({
      subscription: text(record['subscription']),
      at: Date.parse(text(record['time'])),
      attempt: typeof record['attempt'] === 'number' ? record['attempt'] : 1,
      ...taking,
    });
  }

  #eventOf(id: string, { type, correlationId }: LogRecord): ToldEvent {
    let event = this.#events.get(id);
    if (event === undefined) {
      event = {
        id,
        type: '',
        correlationId: undefined,
        at: undefined,
        publisher: undefined,
        publishedAt: undefined,
        takings: [],
      };
      this.#events.set(id, event);
    }
    if (typeof type === 'string') event.type = type;
    if (typeof correlationId === 'string') event.correlationId = correlationId;
    return event;
  }
}

/** When an event happened, or was first heard of. */
export function timeOf(event: ToldEvent): number {
  return event.at ?? event.takings[0]?.at ?? 0;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function reasonOf({ err }: LogRecord): string {
  return typeof err === 'object' && err !== null && 'message' in err ? text(err.message) : 'no reason given';
}

/** `failed_events, key shop.loyalty` */
function deadLetterOf({ deadLetter }: LogRecord): string {
  const { exchange, routingKey } = (deadLetter ?? {}) as { exchange?: unknown; routingKey?: unknown };
  return `${text(exchange)}, key ${text(routingKey)}`;
}
