/** `validate -f FILE|DIR …`: what the API server, or folder mode, would say about files, without either. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from './errors.ts';
import { describeProblem } from './folder/document.ts';
import { loadFiles } from './folder/load.ts';
import type { TextFile } from './folder/load.ts';
import type { KindValidator } from './validation/crd.ts';

export interface Validated {
  /** `file:line: sentence`, one a mistake. */
  problems: string[];
  /** Warren's resources without a mistake. */
  valid: number;
}

/** @throws {UsageError} for a path that cannot be read */
export async function validateFiles(
  paths: readonly string[],
  validators: ReadonlyMap<string, KindValidator>,
): Promise<Validated> {
  const files = await readPaths(paths);
  const { problems, resources } = loadFiles(files, validators, () => undefined);
  return { problems: problems.map(describeProblem), valid: resources.size };
}

/**
 * The YAML files that paths name: files, folders, and `-` for the standard input.
 *
 * @throws {UsageError} for a path that cannot be read
 */
export async function readPaths(
  paths: readonly string[],
  input: AsyncIterable<Buffer | string> = process.stdin,
): Promise<TextFile[]> {
  const files: TextFile[] = [];
  for (const path of paths) files.push(...(path === '-' ? [await readInput(input)] : await readPath(path)));
  return files;
}

async function readInput(input: AsyncIterable<Buffer | string>): Promise<TextFile> {
  const chunks: Buffer[] = [];
  for await (const chunk of input) chunks.push(Buffer.from(chunk));
  return { file: 'standard input', text: Buffer.concat(chunks).toString('utf8') };
}

async function readPath(path: string): Promise<TextFile[]> {
  try {
    if (!(await stat(path)).isDirectory()) return [await readText(path)];
    const names = (await readdir(path)).filter((name) => /^[^.].*\.(ya?ml|json)$/.test(name)).sort();
    return await Promise.all(names.map((name) => readText(join(path, name))));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new UsageError(`cannot read ${path} (${code}): give a YAML file or a folder of them`);
  }
}

async function readText(file: string): Promise<TextFile> {
  return { file, text: await readFile(file, 'utf8') };
}
