/** The lines in which a story is told, at most 100 columns wide. Pure. */
import { timeOf, type Taking, type ToldEvent } from './story.ts';
import type { Paint } from './terminal.ts';

export interface StoryView {
  readonly paint: Paint;
  /** Times are told from here: milliseconds since 1970. */
  readonly from: number;
}

const AFTER = 11;
const TYPE = 18;
const ID = 38;
const SUBSCRIPTION = 14;

/** The head of the table that `eventLines` fills. */
export function storyHead({ paint }: Pick<StoryView, 'paint'>): string {
  const head = `${'after'.padStart(AFTER)}  ${'event'.padEnd(TYPE)}${'id'.padEnd(ID)}published by`;
  return paint.dim(head);
}

/** One event: who published it, and below it everyone who took it. */
export function eventLines(
  event: ToldEvent,
  view: StoryView,
  takings: readonly Taking[] = event.takings,
): string[] {
  const { paint, from } = view;
  const { id, type, publisher } = event;
  const after = duration(timeOf(event) - from).padStart(AFTER);
  return [
    `${after}  ${paint.bold(paint.cyan(type.padEnd(TYPE)))}${paint.dim(id.padEnd(ID))}${paint.green(publisher ?? '?')}`,
    ...[...takings].sort((a, b) => a.at - b.at).map((taking) => takingLine(event, taking, view)),
  ];
}

function takingLine(event: ToldEvent, taking: Taking, { paint }: StoryView): string {
  const indent = ' '.repeat(AFTER + 2);
  const who = taking.subscription.padEnd(SUBSCRIPTION);
  const since = duration(taking.at - timeOf(event));
  switch (taking.outcome) {
    case 'handled':
      return `${indent}${paint.dim('→')} ${paint.yellow(who)} ${tookIn(taking)}, ${since} after the event`;
    case 'duplicate':
      return `${indent}${paint.dim('→')} ${paint.yellow(who)} got it again, and had it already`;
    case 'failed':
      return `${indent}${paint.red('✗')} ${paint.yellow(who)} attempt ${taking.attempt} failed after ${since}: ${taking.reason ?? ''}`;
    case 'set aside':
      return `${indent}${paint.red('☠')} ${paint.yellow(who)} set it aside after ${since}: ${taking.deadLetter ?? ''}`;
  }
}

function tookIn({ ms, attempt }: Taking): string {
  const took = ms === undefined ? 'took it' : `took it in ${duration(ms)}`;
  return attempt > 1 ? `${took} at attempt ${attempt}` : took;
}

/** `7 ms`, `0.4 ms`, `1.2 s` */
export function duration(ms: number): string {
  const positive = Math.max(0, ms);
  if (positive >= 10_000) return `${Math.round(positive / 1000)} s`;
  if (positive >= 1000) return `${(positive / 1000).toFixed(1)} s`;
  return positive > 0 && positive < 1 ? `${positive.toFixed(1)} ms` : `${Math.round(positive)} ms`;
}
