/** Writes the pages of docs/reference that are made from code: `npm run docs`. A contract test fails when they are out of date. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { renderPages, root } from './reference/pages.ts';

for (const [file, text] of await renderPages()) {
  await writeFile(join(root, 'docs/reference', file), text);
}
