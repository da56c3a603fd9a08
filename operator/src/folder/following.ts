/** When a folder is read again: soon after something in it has changed, and now and then, whatever the file system says. */
import { relative } from 'node:path';
import { watch } from 'chokidar';
import type { FSWatcher } from 'chokidar';
import type { Log } from '@warren/controller';
import type { SecretRef } from '../source.ts';

export interface FollowingOptions {
  /** Of the resources. */
  folder: string;
  /** Of the Secrets, as StateFolder has them. */
  secrets: string;
  /** One at a time. */
  read: () => Promise<void>;
  secretChanged: (ref: SecretRef) => void;
  /** How long a burst of changes may last before the folder is read: milliseconds. */
  quietMs: number;
  /** The folder is read again so often, whatever the file system says: milliseconds. */
  rereadMs: number;
  log: Log;
}

export class Following {
  readonly #options: FollowingOptions;
  #watchers: FSWatcher[] = [];
  #timer: NodeJS.Timeout | undefined;
  #dueAt = 0;
  #reread: NodeJS.Timeout | undefined;
  #reading: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: FollowingOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { folder, secrets, quietMs, rereadMs, log } = this.#options;
    const changed = () => this.soon(quietMs);
    const resources = watch(folder, { depth: 0, ignoreInitial: true });
    const keys = watch(secrets, { ignoreInitial: true, atomic: false });
    for (const watcher of [resources, keys])
      watcher.on('error', (error) => log.warn({ error: String(error) }, 'cannot follow a folder'));
    resources.on('all', changed);
    keys.on('all', (_event, path) => this.#secretChanged(path));
    this.#watchers = [resources, keys];
    await Promise.all(
      this.#watchers.map((watcher) => new Promise<void>((done) => watcher.once('ready', done))),
    );
    // What changed between the first reading and the watchers' start.
    changed();
    this.#reread = setInterval(changed, rereadMs);
  }

  /** Reads the folder in so many milliseconds, or before: changes that go on and on do not put it off. */
  soon(ms: number): void {
    const dueAt = performance.now() + ms;
    if (this.#closed || (this.#timer !== undefined && this.#dueAt <= dueAt)) return;
    clearTimeout(this.#timer);
    this.#dueAt = dueAt;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#reading = this.#reading.then(() => this.#read());
    }, ms);
  }

  /** Resolves when a reading that is under way has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#reread);
    await Promise.all(this.#watchers.map((watcher) => watcher.close()));
    await this.#reading;
  }

  async #read(): Promise<void> {
    if (this.#closed) return;
    const { read, log } = this.#options;
    try {
      await read();
    } catch (error) {
      log.error({ error: String(error) }, 'cannot read the folder; everything in force stays');
    }
  }

  #secretChanged(path: string): void {
    const { secrets, secretChanged } = this.#options;
    const [namespace, name] = relative(secrets, path).split(/[\\/]/);
    if (namespace !== undefined && name !== undefined) secretChanged({ namespace, name });
  }
}
