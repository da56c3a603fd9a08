/** Where the operator keeps what a cluster would keep for it: the Secrets that people write, the bindings that it writes. */
import { mkdir, realpath, rm } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { FolderError } from '../errors.ts';
import type { BoundResource } from '../resources.ts';
import type { SecretRef } from '../source.ts';
import { namespaceOf } from '../subscriptions/claims.ts';
import { readIfThere, readKeys, writeAtomically, writeKeys } from './files.ts';

export class StateFolder {
  readonly #path: string;
  /** `<namespace>/<name>/<key>` */
  readonly secrets: string;

  constructor(path: string) {
    this.#path = path;
    this.secrets = join(path, 'secrets');
  }

  async make(): Promise<void> {
    await mkdir(this.#path, { recursive: true });
    await mkdir(this.secrets, { recursive: true, mode: 0o700 });
  }

  /**
   * A state folder belongs to one folder of resources. With another one, everything the first described would look removed,
   * and would be deleted from the broker.
   */
  async claimFor(folder: string): Promise<void> {
    const path = join(this.#path, 'status', '.folder');
    let real: string;
    try {
      real = await realpath(folder);
    } catch (error) {
      throw new FolderError(`cannot read the folder ${folder}: is it there?`, { cause: error });
    }
    const mine = relative(await realpath(this.#path), real);
    const before = await readIfThere(path);
    if (before === undefined) await writeAtomically(path, mine);
    else if (before !== mine)
      throw new FolderError(
        `the state in ${this.#path} belongs to the folder ${resolve(this.#path, before)}; with ${folder} everything described there would be deleted. ` +
          `Give another --state, or remove ${path} when that is what you want`,
      );
  }

  async readSecret({ namespace, name }: SecretRef): Promise<Record<string, string> | undefined> {
    const entries = await readKeys(join(this.secrets, namespace, name));
    if (entries === undefined) return undefined;
    // A person wrote these files, and an editor ended them with a line feed.
    return Object.fromEntries(Object.entries(entries).map(([key, value]) => [key, value.trimEnd()]));
  }

  writeBinding(one: BoundResource, entries: Record<string, string>): Promise<boolean> {
    return writeKeys(this.#binding(namespaceOf(one), one.metadata.name), entries);
  }

  readBinding({ metadata }: BoundResource): Promise<Record<string, string> | undefined> {
    return readKeys(this.#binding(metadata.namespace ?? 'default', metadata.name));
  }

  /** @param key `namespace/name` */
  async forgetBinding(key: string): Promise<void> {
    const [namespace = '', name = ''] = key.split('/');
    await rm(this.#binding(namespace, name), { recursive: true, force: true });
  }

  #binding(namespace: string, name: string): string {
    return join(this.#path, 'bindings', namespace, name);
  }
}
