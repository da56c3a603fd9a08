/**
 * The place of a subscription in its stream, and who may read on from there.
 *
 * AMQP 0.9.1 has no place for it, so it lies in a quorum queue of its own, `<queue>.offset`, as one small message, the token.
 * Whoever holds the token, unacknowledged, is the reader; the queue has a single active consumer, so others stand by, and when
 * the reader's channel is over the broker gives the token to the next one.
 *
 *   standing by ── a delivery: it is our turn ──▶ publish a mark, and wait for it ──▶ reading
 *
 * The queue is in order, so when the mark comes back everything before it was seen: the last token among it is the place.
 * To move the place a new token is published; when it is delivered here, the ones before it are acknowledged. A reader that
 * dies anywhere in between leaves at least one token, and what was done after it is read again: at least once.
 */
import type { Channel, ConsumeMessage } from 'amqplib';
import { asError } from './errors.ts';
import type { OutgoingMessage } from './message.ts';
import type { Place } from './offset-window.ts';
import { deferred, settledWithin } from './timing.ts';

export interface StreamPlaceOptions {
  /** The queue of the token. */
  queue: string;
  /** Confirmed publishing, not on the reader's channel. */
  publish: (message: OutgoingMessage) => Promise<void>;
  /** The token, or the chance of it, is lost: nothing may be read any more. */
  onLost: (reason: Error) => void;
}

/** How long what was done may be unwritten: so much is done again after a crash, and dropped by the inbox. */
const WRITE_AFTER_MS = 1_000;
/** The broker takes back what is unacknowledged for 30 minutes. */
const RENEW_AFTER_MS = 10 * 60_000;
const CLOSE_LIMIT_MS = 5_000;

export class StreamPlace {
  readonly #channel: Channel;
  readonly #options: StreamPlaceOptions;
  readonly #turn = deferred<Place | undefined>();
  readonly #reader = crypto.randomUUID();
  /** In the order of their coming; the last one is the token. */
  #held: ConsumeMessage[] = [];
  #mark: string | undefined;
  #isReading = false;
  #place: Place | undefined;
  #written: Place | undefined;
  #writing: Promise<void> | undefined;
  /** Begins when that one is done. */
  #next: Promise<void> | undefined;
  #soon: NodeJS.Timeout | undefined;
  #renewal: NodeJS.Timeout | undefined;
  #isOver = false;

  private constructor(channel: Channel, options: StreamPlaceOptions) {
    this.#channel = channel;
    this.#options = options;
    let reason = new Error('the channel of the offset queue was closed');
    channel.on('error', (error) => (reason = error));
    channel.on('close', () => {
      this.#lose(reason);
    });
  }

  /** Stands in line. Resolves when the broker has accepted that; see `turn` for what comes then. */
  static async open(channel: Channel, options: StreamPlaceOptions): Promise<StreamPlace> {
    const place = new StreamPlace(channel, options);
    await channel.prefetch(100);
    await channel.consume(options.queue, (message) => {
      if (message === null) place.#lose(new Error(`the broker cancelled the consumer of ${options.queue}`));
      else place.#deliver(message);
    });
    // With nobody before us there may be no token yet: then this mark is the first one.
    place.#publishMark();
    return place;
  }

  /** Resolves with the place when it is our turn to read; undefined where nobody has read yet. Never rejects. */
  get turn(): Promise<Place | undefined> {
    return this.#turn.promise;
  }

  /** Everything up to it is done. Written soon, by itself. */
  move(place: Place): void {
    this.#place = place;
    this.#writeSoon();
  }

  /** Begins anew: for a stream that is not the one that was read. */
  async reset(): Promise<void> {
    this.#place = undefined;
    await this.#write();
  }

  /** Writes now what is not written yet. Rejects when it could not. */
  async save(): Promise<void> {
    await this.#writing?.catch(() => undefined);
    if (this.#isReading && !this.#isOver && this.#place !== this.#written) await this.#write();
  }

  /** Lets the next one read. */
  async close(): Promise<void> {
    if (this.#isOver) return;
    this.#end();
    await settledWithin(this.#channel.close(), CLOSE_LIMIT_MS);
  }

  #deliver(message: ConsumeMessage): void {
    const token = tokenOf(message);
    if (this.#isReading && !(token?.kind === 'place' && token.reader === this.#reader)) {
      // Of one who stands by, or of a reader whose channel was lost meanwhile.
      this.#channel.ack(message);
      return;
    }
    this.#held.push(message);
    if (this.#isReading) this.#letGoOfOlder();
    else if (message.properties.messageId === this.#mark) this.#begin();
    // Our turn, with the mark of the beginning acknowledged by the reader before us: another one.
    else if (this.#held.length === 1 && this.#mark !== undefined) this.#publishMark();
  }

  #begin(): void {
    const tokens = this.#held.map(tokenOf).filter((token) => token?.kind === 'place');
    const last = tokens.at(-1);
    this.#isReading = true;
    this.#place = last?.offset === undefined ? undefined : { offset: last.offset, messageId: last.messageId };
    this.#written = this.#place;
    // The tokens that were found are kept until one of our own is there.
    if (tokens.length > 0) this.#tryToWrite();
    else {
      this.#letGoOfOlder();
      this.#renewLater();
    }
    this.#turn.resolve(this.#place);
  }

  #letGoOfOlder(): void {
    for (const older of this.#held.splice(0, this.#held.length - 1)) this.#channel.ack(older);
  }

  #publishMark(): void {
    const mark = crypto.randomUUID();
    this.#mark = mark;
    void this.#publish({ kind: 'mark', reader: this.#reader }, mark).catch((error: unknown) => {
      if (this.#mark === mark && !this.#isReading) this.#lose(asError(error));
    });
  }

  #writeSoon(): void {
    if (this.#isOver) return;
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      this.#tryToWrite();
    }, WRITE_AFTER_MS);
  }

  /** Where it fails it is tried again; meanwhile the older token stays. */
  #tryToWrite(): void {
    this.#write().catch(() => {
      this.#writeSoon();
    });
  }

  /** One at a time; what is asked for meanwhile is written once, by the next one. */
  #write(): Promise<void> {
    this.#next ??= this.#writeNext();
    return this.#next;
  }

  async #writeNext(): Promise<void> {
    await this.#writing?.catch(() => undefined);
    this.#next = undefined;
    if (this.#isOver) return;
    const place = this.#place;
    clearTimeout(this.#renewal);
    this.#writing = this.#publish({ kind: 'place', reader: this.#reader, ...place });
    try {
      await this.#writing;
    } finally {
      this.#writing = undefined;
    }
    this.#written = place;
    this.#renewLater();
  }

  #renewLater(): void {
    if (!this.#isOver) this.#renewal = setTimeout(() => this.#tryToWrite(), RENEW_AFTER_MS);
  }

  #publish(token: Token, messageId: string = crypto.randomUUID()): Promise<void> {
    return this.#options.publish({
      exchange: '',
      routingKey: this.#options.queue,
      content: Buffer.from(JSON.stringify(token)),
      properties: { messageId, contentType: 'application/json', type: 'warren.stream-place' },
    });
  }

  #lose(reason: Error): void {
    if (this.#isOver) return;
    this.#end();
    this.#options.onLost(reason);
  }

  #end(): void {
    this.#isOver = true;
    clearTimeout(this.#soon);
    clearTimeout(this.#renewal);
  }
}

interface Token {
  kind: 'mark' | 'place';
  /** Who has written it. */
  reader: string;
  offset?: number;
  messageId?: string | undefined;
}

/** Undefined for what somebody else has put there. */
function tokenOf({ content }: ConsumeMessage): Token | undefined {
  try {
    const { kind, reader, offset, messageId } = JSON.parse(content.toString()) as Record<string, unknown>;
    if ((kind !== 'mark' && kind !== 'place') || typeof reader !== 'string') return undefined;
    return {
      kind,
      reader,
      ...(Number.isSafeInteger(offset) ? { offset: offset as number } : {}),
      ...(typeof messageId === 'string' ? { messageId } : {}),
    };
  } catch {
    return undefined;
  }
}
