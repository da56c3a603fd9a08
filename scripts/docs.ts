/** Writes the pages of docs/reference that are made from code: `npm run docs`. Tests fail when they are out of date. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { renderEventsReference, shopCatalogue } from '@warren/contracts';

const reference = join(import.meta.dirname, '../docs/reference');

await writeFile(join(reference, 'events.md'), renderEventsReference(shopCatalogue));
