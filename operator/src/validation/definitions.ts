/** The definitions of Warren's kinds, as they are shipped. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../errors.ts';
import { loadValidators } from './crd.ts';
import type { KindValidator } from './crd.ts';

/** The validators of Warren's kinds, from the folder of their CRDs. */
export function readValidators(crdDir: string): Map<string, KindValidator> {
  let names: string[];
  try {
    names = readdirSync(crdDir).filter((name) => /\.ya?ml$/.test(name));
  } catch {
    names = [];
  }
  if (names.length === 0)
    throw new UsageError(`there are no CRDs in ${crdDir}: set CRD_DIR to the folder that holds them`);
  return loadValidators(names.sort().map((name) => join(crdDir, name)));
}
