/** The charts as they are released: they run the images that were pushed with them, whatever becomes of a tag. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isMap, parseDocument } from 'yaml';
import { CHARTS, insistOnDigests, readValues } from '../images/pinned.ts';

/** Copies all charts into a folder that is not there yet, with the values of the other folder as their own. */
export function copyCharts(values: string, folder: string): void {
  const given = readValues(values);
  insistOnDigests([given]);
  // charts/shop has charts/service by a link that leads from one to the other, here as there.
  cpSync(join(import.meta.dirname, '../../charts'), folder, {
    recursive: true,
    verbatimSymlinks: true,
    errorOnExist: true,
    force: false,
  });
  for (const chart of CHARTS) {
    const path = join(folder, chart, 'values.yaml');
    writeFileSync(path, withDefaults(readFileSync(path, 'utf8'), given[chart]));
  }
}

/** The same file with other values in some places; what it says about them stays. */
export function withDefaults(text: string, values: object): string {
  const document = parseDocument(text);
  const put = (path: readonly string[], value: unknown): void => {
    const isGroup = typeof value === 'object' && value !== null && !Array.isArray(value);
    if (isGroup && isMap(path.length === 0 ? document.contents : document.getIn(path)))
      for (const [key, inner] of Object.entries(value)) put([...path, key], inner);
    else document.setIn(path, value);
  };
  put([], values);
  return document.toString({ lineWidth: 0 });
}
