/** A release before this one: there is none yet, so one that lacks what came last. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseDocument } from 'yaml';
import { charts, root } from './helm.ts';

export interface OlderChart extends Disposable {
  /** The folder of the operator's chart without the value admissionPolicy and the template that reads it. */
  path: string;
}

export function olderChart(): OlderChart {
  const folder = mkdtempSync(join(tmpdir(), 'warren-older-'));
  const path = join(folder, 'warren');
  cpSync(join(root, charts.warren), path, { recursive: true });
  rmSync(join(path, 'templates/admission.yaml'));
  const values = parseDocument(readFileSync(join(path, 'values.yaml'), 'utf8'));
  if (!values.delete('admissionPolicy')) throw new Error('the chart has no value admissionPolicy');
  writeFileSync(join(path, 'values.yaml'), values.toString());
  return { path, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}
