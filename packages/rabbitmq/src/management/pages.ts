/** Listings of the management API, which come in pages. */
import { escaped } from '@warren/topology';
import { z } from 'zod';
import { ManagementError } from '../errors.ts';
import { readAnswer } from './found.ts';

/** Objects a page. */
export const PAGE_SIZE = 500;
/** Of a URL's 8,000 characters. */
const PATTERN_LENGTH = 5_000;
/** How often a listing is read again because the objects changed while it was read. */
const LISTING_TRIES = 3;

export const pageAnswer = z.object({
  page_count: z.number(),
  total_count: z.number(),
  items: z.array(z.unknown()),
});
type Page = z.output<typeof pageAnswer>;

/**
 * All pages of a listing. Pages are cut anew for each request: an object that is deleted meanwhile moves others over
 * a page's edge, and one would be missing without having been deleted. Such a listing is read again.
 */
export async function listOf<T extends { name: string }>(
  schema: z.ZodType<T>,
  what: string,
  read: (page: number) => Promise<Page>,
): Promise<T[]> {
  for (let attempt = 1; ; attempt += 1) {
    const first = await read(1).catch(nothingAtAll);
    const rest = await Promise.allSettled(
      Array.from({ length: Math.max(0, first.page_count - 1) }, (_, index) => read(index + 2)),
    );
    const failed = rest.find((each) => each.status === 'rejected');
    const pages = [first, ...rest.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))];
    const objects = new Map<string, T>();
    for (const { items } of pages) {
      for (const object of readAnswer(z.array(schema), items, what)) objects.set(object.name, object);
    }
    const steady =
      failed === undefined &&
      pages.every((each) => each.total_count === first.total_count) &&
      objects.size === first.total_count;
    if (steady) return [...objects.values()];
    if (attempt < LISTING_TRIES) continue;
    if (failed !== undefined) throw failed.reason;
    return [...objects.values()];
  }
}

/** A page behind the end is a 400; the first page of nothing too, on some versions. */
function nothingAtAll(error: unknown): Page {
  if (
    error instanceof ManagementError &&
    error.status === 400 &&
    error.message.includes('page_out_of_range')
  ) {
    return { page_count: 0, total_count: 0, items: [] };
  }
  throw error;
}

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
    if (length + added > PATTERN_LENGTH || alternatives.length >= PAGE_SIZE) end();
    alternatives.push(alternative);
    length += added;
  }
  end();
  return patterns;
}
