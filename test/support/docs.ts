/**
 * The code blocks of a page in Markdown, so that tests can hold pages to what they say.
 *
 *   ```yaml file=examples/a.yaml     is, word for word, that file
 *   ```sh                            is run
 *   ```sh until=status:              is run until its output has this in it
 *   <!-- not run: why -->            before a block: it cannot be run by a test, and why
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

export const root = join(import.meta.dirname, '../..');

export interface Block {
  readonly language: string;
  readonly text: string;
  /** The file that it shows. */
  readonly file: string | undefined;
  /** Why no test runs it. */
  readonly notRun: string | undefined;
  /** It is tried again until its output has this in it. */
  readonly until: string | undefined;
}

/** @param page relative to the repository */
export async function blocksOf(page: string): Promise<Block[]> {
  const text = await readFile(join(root, page), 'utf8');
  const fence =
    /(?:<!-- not run: (?<why>.+?) -->\n+)?^```(?<language>\w+)(?<rest>.*)\n(?<code>[\s\S]*?)^```$/gm;
  return [...text.matchAll(fence)].map(({ groups }) => ({
    language: groups?.['language'] ?? '',
    text: groups?.['code'] ?? '',
    file: /file=(\S+)/.exec(groups?.['rest'] ?? '')?.[1],
    notRun: groups?.['why'],
    until: /until=(\S+)/.exec(groups?.['rest'] ?? '')?.[1],
  }));
}
