/** Files that a reader never sees half written. */
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/**
 * Writes beside the file and renames over it. Makes the folders it needs. What a kill between the two leaves is overwritten
 * by the next write; so one write at a time for a file.
 */
export async function writeAtomically(path: string, content: string, mode = 0o644): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const beside = join(dirname(path), `.${basename(path)}.tmp`);
  try {
    await writeFile(beside, content, { mode });
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}

/** The file's text, or undefined when there is none. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** The names in a folder, or none when there is no such folder. */
export async function namesIn(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** The files of a folder of keys (a Secret, a binding) as a map. Undefined when there is no such folder. */
export async function readKeys(folder: string): Promise<Record<string, string> | undefined> {
  const names = (await namesIn(folder)).filter((name) => !name.startsWith('.'));
  if (names.length === 0) return undefined;
  const entries: [string, string][] = [];
  for (const name of names) {
    const text = await readIfThere(join(folder, name));
    if (text !== undefined) entries.push([name, text]);
  }
  return Object.fromEntries(entries);
}

/** Makes a folder of keys say exactly that, one file a key, readable by its owner only. True when something was written. */
export async function writeKeys(folder: string, entries: Readonly<Record<string, string>>): Promise<boolean> {
  const before = (await readKeys(folder)) ?? {};
  let changed = false;
  for (const [name, value] of Object.entries(entries)) {
    if (before[name] === value) continue;
    await writeAtomically(join(folder, name), value, 0o600);
    changed = true;
  }
  for (const name of Object.keys(before)) {
    if (name in entries) continue;
    await rm(join(folder, name), { force: true });
    changed = true;
  }
  return changed;
}
