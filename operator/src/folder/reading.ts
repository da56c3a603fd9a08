/**
 * Brings what is in force to what the files of a folder describe.
 *
 * A file that is half written, or gone while an editor renames, costs nothing: a mistake holds what was in force, and a
 * resource counts as removed only when it is missing in two readings some time apart.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { FolderError } from '../errors.ts';
import type { Kind } from '../resources.ts';
import type { KindValidator } from '../validation/crd.ts';
import type { Collections } from './collections.ts';
import { describeProblem } from './document.ts';
import type { Problem } from './document.ts';
import { idOf, loadFiles } from './load.ts';
import type { Loaded, TextFile } from './load.ts';

export interface FolderReadingOptions {
  folder: string;
  validators: ReadonlyMap<string, KindValidator>;
  collections: Collections;
  /** How long a resource must be missing before that is a deletion: milliseconds. */
  removedAfterMs: number;
  /** Told of every mistake that was not there before, as `file:line: sentence`. */
  onProblem: (line: string) => void;
  saveProblems: (lines: readonly string[]) => Promise<void>;
  /** Something is missing: the folder is to be read again in so many milliseconds. */
  readAgain: (ms: number) => void;
  /** A resource went, and nothing was made for it on a broker. */
  gone: (kind: Kind, key: string) => Promise<void>;
}

export class FolderReading {
  readonly #options: FolderReadingOptions;
  readonly #missingSince = new Map<string, number>();
  /** Undefined until the folder has been read: what a former run wrote down may be out of date. */
  #problems: readonly string[] | undefined;

  constructor(options: FolderReadingOptions) {
    this.#options = options;
  }

  /** The mistakes in the folder now, as `file:line: sentence`. */
  get problems(): readonly string[] {
    return this.#problems ?? [];
  }

  /** @param first of this process: throws FolderError when the folder cannot be read, and removes nothing yet */
  async read({ first }: { first: boolean }): Promise<void> {
    const { folder, validators, collections } = this.#options;
    let read: { files: TextFile[]; unreadable: Problem[] };
    try {
      read = await filesOf(folder);
    } catch (error) {
      if (first) throw new FolderError(`cannot read the folder ${folder}`, { cause: error });
      await this.#report([`${folder}: cannot be read (${codeOf(error)}); everything in force stays`]);
      return;
    }
    const inForce = (id: string) => {
      const [kind, key] = splitId(id);
      return collections.of(kind).get(key);
    };
    const loaded = loadFiles(read.files, validators, inForce, read.unreadable);
    await this.#report(loaded.problems.map(describeProblem));
    for (const [id, one] of loaded.resources) {
      this.#missingSince.delete(id);
      await collections.of(one.kind).describe(one.key, one);
    }
    for (const [id, problems] of loaded.problemsOf) await this.#complain(id, problems);
    await this.#remove(loaded, first);
  }

  async #complain(id: string, problems: readonly Problem[]): Promise<void> {
    const [kind, key] = splitId(id);
    this.#missingSince.delete(id);
    await this.#options.collections.of(kind).complain(key, problems.map(describeProblem));
  }

  /** What the folder no longer describes. A resource whose file has an unreadable part is not missing: nobody can tell. */
  async #remove(loaded: Loaded, first: boolean): Promise<void> {
    const { collections, removedAfterMs, readAgain, gone } = this.#options;
    for (const collection of collections.all) {
      for (const key of collection.keys()) {
        const id = idOf(collection.kind, key);
        const record = collection.record(key);
        if (record === undefined || loaded.resources.has(id) || loaded.held.has(id)) continue;
        if (loaded.heldFiles.has(record.file)) {
          await this.#complain(
            id,
            loaded.problems.filter(({ file }) => file === record.file),
          );
          continue;
        }
        const since = this.#missingSince.get(id) ?? performance.now();
        this.#missingSince.set(id, since);
        // At the start there is no editor in the middle of a rename to wait for, but there may be: wait all the same.
        if (!first && performance.now() - since >= removedAfterMs) {
          this.#missingSince.delete(id);
          await collection.remove(key);
          if (collection.get(key) === undefined) await gone(collection.kind, key);
        } else readAgain(removedAfterMs);
      }
    }
  }

  async #report(lines: readonly string[]): Promise<void> {
    if (isDeepStrictEqual(this.#problems, lines)) return;
    const before = new Set(this.#problems);
    this.#problems = lines;
    for (const line of lines) if (!before.has(line)) this.#options.onProblem(line);
    await this.#options.saveProblems(lines);
  }
}

/** A file that cannot be read is a mistake like any other: it holds what came from it, and the other files are read. */
async function filesOf(folder: string): Promise<{ files: TextFile[]; unreadable: Problem[] }> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries
    .filter((entry) => !entry.isDirectory() && /^[^.].*\.ya?ml$/.test(entry.name))
    .map((entry) => entry.name)
    .sort();
  const files: TextFile[] = [];
  const unreadable: Problem[] = [];
  for (const name of names) {
    const file = join(folder, name);
    try {
      files.push({ file, text: await readFile(file, 'utf8') });
    } catch (error) {
      // Renamed or removed since the listing: another event tells, or the next reading.
      if (codeOf(error) !== 'ENOENT')
        unreadable.push({ file, line: 1, sentence: `cannot be read (${codeOf(error)})` });
    }
  }
  return { files, unreadable };
}

function codeOf(error: unknown): string {
  return String((error as NodeJS.ErrnoException | null)?.code ?? error);
}

function splitId(id: string): [kind: Kind, key: string] {
  const space = id.indexOf(' ');
  return [id.slice(0, space) as Kind, id.slice(space + 1)];
}
