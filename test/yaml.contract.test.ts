/** Every YAML file of the repository is one that a strict reader takes: Compose refuses a file with a key twice. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import { root } from './support/docs.ts';

const tracked = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.yaml', '*.yml'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => file !== '' && existsSync(join(root, file)));
/** What helm makes YAML of is read by the tests of the charts when it has done so. */
const isTemplate = (file: string) => /^charts\/[^/]+\/templates\//.test(file);

test('no YAML file has a key twice, or another mistake', () => {
  const files = tracked.filter((file) => !isTemplate(file));
  expect(files).toEqual(expect.arrayContaining(['compose.yaml', 'charts/warren/values.yaml']));
  expect(files.flatMap((file) => mistakes(file, readFileSync(join(root, file), 'utf8')))).toEqual([]);
});

function mistakes(file: string, text: string): string[] {
  return parseAllDocuments(text, { uniqueKeys: true }).flatMap(({ errors, warnings }) =>
    [...errors, ...warnings].map(({ message }) => `${file}: ${message.split('\n')[0]}`),
  );
}
