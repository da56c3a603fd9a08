/**
 * Tells what happens while it happens: a conversation (all that one request caused) is told when it has been quiet for
 * a moment, and goes on being told when more of it is heard.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { LogRecord } from './managed-process.ts';
import type { Mail } from './mail-sink.ts';
import { eventLines, storyHead } from './story-lines.ts';
import { Story, timeOf, type ToldEvent } from './story.ts';
import type { Terminal } from './terminal.ts';

const QUIET_MS = 600;
const LOOK_MS = 200;

interface Told {
  takings: number;
}

export class Narrator implements Disposable {
  readonly story = new Story();
  readonly #terminal: Terminal;
  readonly #told = new Map<string, Told>();
  readonly #lastHeard = new Map<string, number>();
  readonly #mails: Mail[] = [];
  #timer: NodeJS.Timeout | undefined;
  #follows = false;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  /** Takes in a log record of a process. */
  hear(process: string, record: LogRecord): void {
    if (process === 'operator') {
      this.#hearOperator(record);
      return;
    }
    const before = this.story.heard;
    this.story.hear(record);
    if (this.story.heard === before) return;
    const id = record['eventId'] ?? record['messageId'];
    const event = typeof id === 'string' ? this.story.event(id) : undefined;
    this.#lastHeard.set(event?.correlationId ?? '', performance.now());
  }

  /** Resolves when nothing more has been heard of these conversations for a moment. */
  async settled(correlationIds: readonly string[], signal: AbortSignal): Promise<void> {
    const quiet = (id: string) => performance.now() - (this.#lastHeard.get(id) ?? -Infinity) > QUIET_MS;
    while (!correlationIds.every(quiet)) await sleep(LOOK_MS, undefined, { signal });
    for (const id of correlationIds) this.#lastHeard.delete(id);
  }

  /** Tells a whole conversation, from its beginning. */
  tell(correlationId: string): readonly ToldEvent[] {
    const events = this.story.conversation(correlationId);
    const [first] = events;
    if (first === undefined) return events;
    const view = { paint: this.#terminal.paint, from: timeOf(first) };
    this.#terminal.line(storyHead(view));
    for (const event of events) {
      for (const line of eventLines(event, view)) this.#terminal.line(line);
      this.#told.set(event.id, { takings: event.takings.length });
    }
    return events;
  }

  /** From now on tells by itself what was not told yet. */
  follow(): void {
    this.#follows = true;
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS);
  }

  /** A mail was delivered: told after the events that led to it. */
  mail(mail: Mail): void {
    if (this.#follows) this.#mails.push(mail);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#follows = false;
  }

  #hearOperator({ level, msg, subscription }: LogRecord): void {
    if (!this.#follows || level === 'debug' || typeof msg !== 'string') return;
    const { paint, line } = this.#terminal;
    const mark = level === 'info' ? paint.blue('⚙') : paint.red('⚙');
    line(`  ${mark} operator${typeof subscription === 'string' ? `, ${subscription}` : ''}: ${msg}`);
  }

  #look(): void {
    const now = performance.now();
    for (const [correlationId, heard] of this.#lastHeard) {
      if (now - heard < QUIET_MS) continue;
      this.#lastHeard.delete(correlationId);
      this.#tellNews(this.story.events.filter((event) => (event.correlationId ?? '') === correlationId));
    }
    if (this.#lastHeard.size > 0) return;
    const { paint, line } = this.#terminal;
    for (const { to, subject } of this.#mails.splice(0))
      line(`  ${paint.magenta('✉')} ${to.join(', ')}: ${subject}`);
  }

  #tellNews(events: readonly ToldEvent[]): void {
    const [first] = events;
    const news = events.filter((event) => (this.#told.get(event.id)?.takings ?? -1) < event.takings.length);
    if (first === undefined || news.length === 0) return;
    const { line, paint } = this.#terminal;
    const view = { paint, from: timeOf(first) };
    line();
    if (!this.#told.has(first.id)) line(storyHead(view));
    for (const event of news) {
      const told = this.#told.get(event.id)?.takings ?? 0;
      for (const text of eventLines(event, view, event.takings.slice(told))) line(text);
      this.#told.set(event.id, { takings: event.takings.length });
    }
  }
}
