/**
 * `npm run release -- check TAG`: whether the repository says everywhere that it is this version, and what a user notices is
 * written down. `npm run release -- notes TAG`: prints that part of CHANGELOG.md. `npm run release -- charts VALUES FOLDER`: the
 * charts in that new folder, with what `npm run images --values VALUES` wrote as their own values.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { copyCharts } from './release/charts.ts';

/** What a release of `tag` is missing; empty when nothing is. `read` gives the text of a file of the repository. */
export function missing(tag: string, read: (path: string) => string): string[] {
  const version = /^v(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?)$/.exec(tag)?.[1];
  if (version === undefined) return [`a tag is v and a version, such as v1.2.3, not "${tag}"`];
  const said = (path: string, key: string, found: unknown) =>
    found === version ? [] : [`${path}: ${key} is ${String(found)}, not ${version}`];
  const json = (path: string) => JSON.parse(read(path)) as Record<string, unknown>;
  const chart = (path: string) => parse(read(path)) as Record<string, unknown>;
  return [
    ...said('package.json', 'version', json('package.json')['version']),
    ...['warren', 'service', 'shop'].flatMap((name) => {
      const path = `charts/${name}/Chart.yaml`;
      const { version: own, appVersion = version } = chart(path);
      return [...said(path, 'version', own), ...said(path, 'appVersion', appVersion)];
    }),
    ...(notesOf(version, read('CHANGELOG.md')) === ''
      ? [`CHANGELOG.md: there is nothing under a heading "## ${version}"`]
      : []),
  ];
}

/** What the changelog says of a version; empty when nothing. */
export function notesOf(version: string, changelog: string): string {
  const lines = changelog.split('\n');
  const escaped = version.replaceAll('.', String.raw`\.`);
  const start = lines.findIndex((line) => new RegExp(`^## \\[?${escaped}\\]?( |$)`).test(line));
  if (start < 0) return '';
  const length = lines.slice(start + 1).findIndex((line) => line.startsWith('## '));
  return lines
    .slice(start + 1, length < 0 ? undefined : start + 1 + length)
    .join('\n')
    .trim();
}

if (import.meta.main) {
  const [command, tag = '', folder = ''] = process.argv.slice(2);
  const read = (path: string) => readFileSync(join(import.meta.dirname, '..', path), 'utf8');
  if (command === 'check') {
    const found = missing(tag, read);
    for (const line of found) process.stderr.write(`${line}\n`);
    process.exitCode = found.length === 0 ? 0 : 1;
  } else if (command === 'notes')
    process.stdout.write(`${notesOf(tag.replace(/^v/, ''), read('CHANGELOG.md'))}\n`);
  else if (command === 'charts' && folder !== '') copyCharts(tag, folder);
  else {
    process.stderr.write('release: check TAG, or notes TAG, or charts VALUES FOLDER\n');
    process.exitCode = 2;
  }
}
