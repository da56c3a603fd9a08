import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { definedCodes, documentedCodes } from './errors.ts';
import { errorSources, renderPages, root } from './pages.ts';

describe('the reference', () => {
  test.each(['events.md', 'resources.md', 'errors.md', 'metrics.md'])(
    '%s is what the code says now (npm run docs writes it)',
    async (file) => {
      const committed = await readFile(join(root, 'docs/reference', file), 'utf8');
      expect(committed).toBe((await renderPages()).get(file));
    },
  );

  test('lists every error code that a package defines', async () => {
    const missing = (await errorSources()).flatMap(({ name, text }) => {
      const documented = documentedCodes(text);
      return [...definedCodes(text)]
        .filter((code) => !documented.has(code))
        .map((code) => `${name}: ${code}`);
    });
    expect(missing).toEqual([]);
  });
});
