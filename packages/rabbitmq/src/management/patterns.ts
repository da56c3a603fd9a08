/** Asking the management API for many queues by their names: it takes a regular expression, and answers in pages. */
import { escaped } from '@warren/topology';
import { z } from 'zod';

/** As many as a page holds. */
export const NAMES_AT_ONCE = 500;
/** Of a URL's 8,000 characters. */
const PATTERN_LENGTH = 5_000;

export const pageAnswer = z.object({ items: z.array(z.unknown()) });

/** Regular expressions that match these names and nothing else, each short enough for a URL. */
export function patternsOf(names: readonly string[]): string[] {
  const patterns: string[] = [];
  let alternatives: string[] = [];
  let length = 0;
  const end = () => {
    if (alternatives.length > 0) patterns.push(`^(?:${alternatives.join('|')})$`);
    [alternatives, length] = [[], 0];
  };
  for (const name of names) {
    const alternative = escaped(name);
    const added = encodeURIComponent(alternative).length + 3;
    if (length + added > PATTERN_LENGTH || alternatives.length >= NAMES_AT_ONCE) end();
    alternatives.push(alternative);
    length += added;
  }
  end();
  return patterns;
}
