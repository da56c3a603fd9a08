/**
 * What folder mode remembers: one YAML file a resource, under `<state>/status/`, readable like `kubectl get -o yaml`.
 *
 * A record holds the version of the resource that is in force, so that a broken file takes nothing away, and outlives the
 * operator, so that a file removed while it was down is a deletion.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import type {
  BoundResource,
  BrokerResource,
  Kind,
  PublisherResource,
  SubscriptionResource,
} from '../resources.ts';
import { namesIn, readIfThere, writeAtomically } from './files.ts';

export interface ToldEvent {
  type: 'Normal' | 'Warning';
  reason: string;
  message: string;
  count: number;
  firstTime: string;
  lastTime: string;
}

export interface FolderRecord<T extends BoundResource | BrokerResource> {
  resource: T;
  /** The file it was last read from, as in problems. */
  file: string;
  /** `file:line: sentence` of what is wrong with its file now. What `resource` says stays in force. */
  problems: string[];
  events: ToldEvent[];
}

export type SubscriptionRecord = FolderRecord<SubscriptionResource>;
export type BrokerRecord = FolderRecord<BrokerResource>;
export type PublisherRecord = FolderRecord<PublisherResource>;
export type AnyRecord = SubscriptionRecord | PublisherRecord | BrokerRecord;

const HEADER = '# Written by the Warren operator. Edit the file named under `file`, not this one.\n';
const EVENTS_KEPT = 20;
const FOLDERS = { EventSubscription: '.', EventPublisher: 'publishers', EventBroker: 'brokers' } as const;

export class Records {
  readonly #folder: string;

  constructor(stateFolder: string) {
    this.#folder = join(stateFolder, 'status');
  }

  /** `<state>/status/<namespace>.<name>.yaml`; publishers, and brokers, which have no namespace, in folders of their own. */
  #path(kind: Kind, key: string): string {
    return join(this.#folder, FOLDERS[kind], `${key.replace('/', '.')}.yaml`);
  }

  /** Everything remembered. A file that is no record is reported, not guessed at. */
  async load(onBroken: (file: string, why: string) => void): Promise<AnyRecord[]> {
    const records: AnyRecord[] = [];
    for (const folder of Object.values(FOLDERS).map((name) => join(this.#folder, name))) {
      for (const name of await namesIn(folder)) {
        if (!name.endsWith('.yaml') || name.startsWith('.')) continue;
        const path = join(folder, name);
        try {
          const { file, problems, events, ...resource } = parse((await readIfThere(path)) ?? '') as {
            file: string;
            problems?: string[];
            events?: ToldEvent[];
          } & (BoundResource | BrokerResource);
          if (typeof file !== 'string' || typeof resource.metadata.name !== 'string')
            throw new TypeError('not a record');
          records.push({ resource, file, problems: problems ?? [], events: events ?? [] } as AnyRecord);
        } catch (error) {
          onBroken(path, error instanceof Error ? error.message : String(error));
        }
      }
    }
    return records;
  }

  async save(kind: Kind, key: string, record: AnyRecord): Promise<void> {
    const { apiVersion, metadata, spec, status } = record.resource;
    const text = stringify(
      {
        apiVersion,
        kind,
        metadata,
        file: record.file,
        ...(record.problems.length > 0 ? { problems: record.problems } : {}),
        ...(status === undefined ? {} : { status }),
        ...(record.events.length > 0 ? { events: record.events } : {}),
        spec,
      },
      { lineWidth: 0 },
    );
    await writeAtomically(this.#path(kind, key), HEADER + text);
  }

  async forget(kind: Kind, key: string): Promise<void> {
    await rm(this.#path(kind, key), { force: true });
  }

  /** All problems of the folder, one a line; no file when there are none. */
  async saveProblems(lines: readonly string[]): Promise<void> {
    const path = join(this.#folder, 'problems.txt');
    if (lines.length === 0) await rm(path, { force: true });
    else await writeAtomically(path, `${lines.join('\n')}\n`);
  }
}

/** Adds an event to a story: the same one again only counts up. */
export function addEvent(
  events: readonly ToldEvent[],
  event: { type: 'Normal' | 'Warning'; reason: string; message: string },
  now: string,
): ToldEvent[] {
  const { type, reason, message } = event;
  const before = events.find((one) => one.reason === reason && one.message === message && one.type === type);
  const others = events.filter((one) => one !== before);
  const told: ToldEvent =
    before === undefined
      ? { type, reason, message, count: 1, firstTime: now, lastTime: now }
      : { ...before, count: before.count + 1, lastTime: now };
  return [...others, told].slice(-EVENTS_KEPT);
}
