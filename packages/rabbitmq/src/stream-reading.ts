/**
 * The deliveries of a stream and of its retries, on one channel, by one reader at a time.
 *
 *   our turn (stream-place.ts) ──▶ consume the stream from the last event that is done ──▶ that very event? ──▶ deliver what follows
 *
 * A stream that was deleted and made anew knows nothing of the old offsets, and a reader that begins beyond its end would wait
 * for ever. So the last event that is done is read once more: only when it comes back, by its id, the place is right; when
 * another comes, or twice in a row none at all, the stream is read from its beginning.
 *
 * A message of a stream cannot be given back. What fails goes to a wait queue or to the dead letters, confirmed, and only then
 * is done; where that cannot be, the channel is given up, and reading begins again at the place. Where the order is kept it is
 * held instead, in its place, and nothing after it is begun; what an earlier setting left in the wait queues still comes back.
 */
import type { ChannelModel, Channel, ConsumeMessage } from 'amqplib';
import type { ConsumerSettings, StreamSettings } from '@warren/topology';
import type { Lease } from './channel.ts';
import type { OutgoingMessage } from './message.ts';
import { safely, type ConsumerObserver } from './observer.ts';
import { OffsetWindow, type Place } from './offset-window.ts';
import type { Session } from './session.ts';
import { StreamPlace } from './stream-place.ts';

export interface StreamReadingOptions {
  settings: ConsumerSettings & { stream: StreamSettings };
  observer: ConsumerObserver;
  publish: (message: OutgoingMessage) => Promise<void>;
  /** How long the last event that is done may be in coming, in milliseconds; 15,000. */
  proofWithinMs?: number;
  /** How often in a row it did not come, of the readings before this one too: a broker may just be slow. */
  silences: { count: number };
}

export class StreamReading {
  readonly #lease: Lease<Channel>;
  readonly #options: StreamReadingOptions;
  readonly #window = new OffsetWindow();
  readonly #tags: string[] = [];
  #place: StreamPlace | undefined;
  #streamTag: string | undefined;
  #proof: NodeJS.Timeout | undefined;
  /** Nothing of what comes now moves the place any more. */
  #isGivenUp = false;

  constructor(lease: Lease<Channel>, options: StreamReadingOptions) {
    this.#lease = lease;
    this.#options = options;
    void lease.over.then(() => clearTimeout(this.#proof));
  }

  /** Whether a delivery is of the stream, which takes nothing back. */
  isOfStream = (message: ConsumeMessage): boolean => message.fields.consumerTag === this.#streamTag;

  /** A delivery is acknowledged: handled, or put aside. */
  done = (message: ConsumeMessage): void => {
    if (this.#isGivenUp || !this.isOfStream(message) || !this.#window.done(offsetOf(message))) return;
    const { place } = this.#window;
    if (place !== undefined) this.#place?.move(place);
  };

  /** Stands in line. Resolves when the broker has accepted that; `reading` follows when it is our turn. */
  async stand(model: ChannelModel): Promise<void> {
    const { settings, publish } = this.#options;
    const channel = await model.createChannel();
    void this.#lease.over.then(() => this.#place?.close());
    this.#place = await StreamPlace.open(channel, {
      queue: settings.stream.offsets,
      publish,
      onLost: (reason) => this.#lease.abandon(reason),
    });
    if (!this.#lease.alive) await this.#place.close();
  }

  /** When it is our turn: everything goes to the session. */
  async read(session: Pick<Session, 'deliver' | 'skip' | 'isReleasing'>): Promise<void> {
    const place = await this.#place?.turn;
    const { channel } = this.#lease;
    const { stream, queue } = this.#options.settings;
    const isEnding = () => this.#isGivenUp || !this.#lease.alive || session.isReleasing;
    if (isEnding()) return;
    const lost = (of: string) => this.#lease.abandon(new Error(`the broker cancelled the consumer of ${of}`));
    await channel.consume(
      stream.retries,
      (message) => {
        if (message === null) lost(stream.retries);
        else session.deliver(message);
      },
      { consumerTag: this.#newTag() },
    );
    if (isEnding()) return;
    const consumerTag = this.#newTag();
    this.#streamTag = consumerTag;
    let isProven = place === undefined;
    await channel.consume(
      queue,
      (message) => {
        if (message === null) {
          lost(queue);
          return;
        }
        if (!isProven && place !== undefined && !this.#isGivenUp) {
          const proof = this.#compare(place, message);
          if (proof === 'other') this.#beginAnew();
          isProven = proof === 'same' || proof === 'after';
          if (proof !== 'after') {
            session.skip(message);
            return;
          }
        }
        if (this.#isGivenUp) {
          session.skip(message);
          return;
        }
        this.#window.arrived(offsetOf(message), idOf(message));
        session.deliver(message);
      },
      { consumerTag, arguments: { 'x-stream-offset': beginning(place, stream.startFrom) } },
    );
    if (isProven || isEnding()) return;
    const { proofWithinMs = 15_000 } = this.#options;
    this.#proof = setTimeout(() => this.#fallSilent(), proofWithinMs);
  }

  /** Known before the broker answers, so that a cancel can follow at once. */
  #newTag(): string {
    const tag = `warren.${crypto.randomUUID()}`;
    this.#tags.push(tag);
    return tag;
  }

  /** No more deliveries. */
  async cancel(): Promise<void> {
    clearTimeout(this.#proof);
    await Promise.all(this.#tags.splice(0).map((tag) => this.#lease.channel.cancel(tag)));
  }

  /** Writes the place, when nothing is under way any more. */
  async finish(): Promise<void> {
    await this.#place?.save();
  }

  /** The first that comes, held against the place: before it, at it, or after it, because retention took what was there. */
  #compare(place: Place, message: ConsumeMessage): 'before' | 'same' | 'other' | 'after' {
    const offset = offsetOf(message);
    if (offset < place.offset) return 'before';
    clearTimeout(this.#proof);
    this.#options.silences.count = 0;
    if (offset === place.offset) return place.messageId === idOf(message) ? 'same' : 'other';
    if (offset > place.offset + 1) {
      const expired = { queue: this.#options.settings.queue, from: place.offset + 1, to: offset - 1 };
      safely(() => this.#options.observer.onExpired?.(expired));
    }
    return 'after';
  }

  #fallSilent(): void {
    const { settings, silences } = this.#options;
    silences.count += 1;
    if (silences.count === 1) {
      this.#isGivenUp = true;
      this.#lease.abandon(new Error(`${settings.queue} gives nothing at the place up to which it was read`));
      return;
    }
    silences.count = 0;
    this.#beginAnew();
  }

  #beginAnew(): void {
    this.#isGivenUp = true;
    clearTimeout(this.#proof);
    const reason = new Error(
      `${this.#options.settings.queue} is not the stream that was read before: it is read from its beginning`,
    );
    void (this.#place?.reset() ?? Promise.resolve()).then(
      () => this.#lease.abandon(reason),
      (error: unknown) => this.#lease.abandon(error instanceof Error ? error : reason),
    );
  }
}

function offsetOf({ properties }: ConsumeMessage): number {
  return Number(properties.headers?.['x-stream-offset']);
}

function idOf({ properties }: ConsumeMessage): string | undefined {
  const messageId: unknown = properties.messageId;
  return typeof messageId === 'string' ? messageId : undefined;
}

/** @see {@link StreamSettings.startFrom} */
function beginning(place: Place | undefined, startFrom: string): unknown {
  if (place !== undefined) return place.offset;
  if (startFrom === 'first') return startFrom;
  // AMQP has no time before 1970, and an offset from UTC may lead there.
  return { '!': 'timestamp', value: Math.max(0, Math.floor(Date.parse(startFrom) / 1_000)) };
}
