import { expect, test } from '@jest/globals';
import { missing, notesOf } from './release.ts';

const files: Record<string, string> = {
  'package.json': '{"version":"1.2.3"}',
  'charts/warren/Chart.yaml': 'version: 1.2.3\nappVersion: 1.2.3\n',
  'charts/service/Chart.yaml': 'version: 1.2.3\n',
  'charts/shop/Chart.yaml': 'version: 1.2.3\nappVersion: 1.2.3\n',
  'CHANGELOG.md':
    '# Changelog\n\n## Unreleased\n\n## 1.2.3 - 2026-01-01\n\n### Added\n\n- This.\n\n## 1.2.2\n\n- That.\n',
};
const having = (changed: Record<string, string>) => (path: string) => ({ ...files, ...changed })[path]!;

test('a version that is said everywhere and has its notes can be released', () => {
  expect(missing('v1.2.3', having({}))).toEqual([]);
});

test('every place that says another version is named', () => {
  expect(
    missing(
      'v1.2.3',
      having({
        'package.json': '{"version":"1.2.2"}',
        'charts/shop/Chart.yaml': 'version: 1.2.3\nappVersion: 1.2.2\n',
      }),
    ),
  ).toEqual([
    'package.json: version is 1.2.2, not 1.2.3',
    'charts/shop/Chart.yaml: appVersion is 1.2.2, not 1.2.3',
  ]);
});

test('a release without a word to its users is refused', () => {
  for (const changelog of [
    '# Changelog\n',
    '## 1.2.3\n\n## 1.2.2\n\n- That.\n',
    '## 11.2.3\n\n- Not this one.\n',
  ])
    expect(missing('v1.2.3', having({ 'CHANGELOG.md': changelog }))).toEqual([
      'CHANGELOG.md: there is nothing under a heading "## 1.2.3"',
    ]);
});

test('a tag that is no version is refused', () => {
  expect(missing('1.2.3', having({}))).toEqual(['a tag is v and a version, such as v1.2.3, not "1.2.3"']);
});

test('the notes are those of the version alone', () => {
  expect(notesOf('1.2.3', files['CHANGELOG.md']!)).toBe('### Added\n\n- This.');
  expect(notesOf('1.2.2', files['CHANGELOG.md']!)).toBe('- That.');
});
