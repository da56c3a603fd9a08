/**
 * Rebuilds projections from the log: beside the old one, then swaps. Reads and appends go on meanwhile.
 *
 * Why nothing is missing after the swap, whatever is appended and whoever dies:
 * 1. The new collection is entered in the registry before the scan of the log begins.
 * 2. A commit that was stored before the scan began is found by the scan.
 * 3. A commit that was stored later is pending, and a relay marks it only after it has read the registry, applied the
 *    commit to every collection that is named there, and found the registry unchanged. It reads the registry after
 *    the commit, so it finds the new collection (or, after the swap, finds it as the current one).
 * Both ways may meet: documents remember what they have seen. (What was appended in the last moment before the swap may
 * show a moment after it: when a relay has got to it.)
 *
 * A rebuild that dies leaves its place in the registry, and a collection that relays keep up to date. The next rebuild
 * drops it and starts over, since the projection's code may be another by now; `resume` says that it is not, and
 * goes on from the place. Of two rebuilds at once the later one wins, and the other one finds out at its next page.
 *
 * Documents are folded in memory and written in bulk, a page of commits at a time.
 */
import type { Catalogue } from '@warren/contracts';
import type { Connection } from 'mongoose';
import { pause } from './backoff.ts';
import type { Commit } from './commit.ts';
import { RebuildSupersededError } from './errors.ts';
import type { Log, Position } from './log.ts';
import type { AnyProjection } from './projection.ts';
import type { Build, ProjectionRegistry } from './projection-registry.ts';
import type { Projector } from './projector.ts';
import { writePage } from './rebuild-page.ts';

export interface RebuildProgress {
  /** Commits so far. */
  readonly done: number;
  /** Commits in the log when the rebuild began, as the database estimates them. */
  readonly total: number;
  /** Of this run, without what an earlier one did. */
  readonly ratePerSecond: number;
}

export interface RebuildOptions {
  readonly onProgress?: (progress: RebuildProgress) => void;
  readonly signal?: AbortSignal;
  /** Which projections; all by default. */
  readonly names?: readonly string[];
  /** Commits a page; 2000. */
  readonly pageSize?: number;
  /** Go on where a rebuild stopped or died. Only if the code of the projections has not changed since. */
  readonly resume?: boolean;
}

export interface RebuildParts {
  readonly connection: Connection;
  readonly catalogue: Catalogue;
  readonly log: Log;
  readonly registry: ProjectionRegistry;
  readonly projector: Projector;
  readonly projections: readonly AnyProjection[];
}

export async function rebuild(
  parts: RebuildParts,
  { onProgress, signal, names, pageSize = 2000, resume = false }: RebuildOptions = {},
): Promise<RebuildProgress> {
  const { log, registry, projector, projections } = parts;
  const builds: { projection: AnyProjection; build: Build }[] = [];
  for (const projection of projections) {
    if (names && !names.includes(projection.name)) continue;
    builds.push({ projection, build: await registry.beginBuild(projection, resume) });
  }
  // From here on this process, too, applies what it appends to both.
  await projector.refresh();

  const start = furthestBack(builds.map(({ build }) => build));
  const total = await log.estimate();
  const began = performance.now();
  let { done } = start;
  const progress = (): RebuildProgress => ({
    done,
    total: Math.max(total, done),
    ratePerSecond: (done - start.done) / Math.max(0.001, (performance.now() - began) / 1000),
  });

  const write = async (page: readonly Commit[]): Promise<void> => {
    const last = page.at(-1);
    done += page.length;
    for (const { projection, build } of builds) {
      await writePage(parts, projection, build.collection, page);
      await registry.advance(projection.name, build, { done, ...(last && { after: positionOf(last) }) });
    }
    onProgress?.(progress());
  };

  let page: Commit[] = [];
  const scan = { batchSize: pageSize, ...(start.after && { after: start.after }), ...(signal && { signal }) };
  for await (const commit of log.readAll(scan)) {
    page.push(commit);
    if (page.length < pageSize) continue;
    await write(page);
    page = [];
    signal?.throwIfAborted();
  }
  await write(page);
  for (const { projection, build } of builds) await registry.swap(projection.name, build);
  await projector.refresh();
  return progress();
}

/** How long a build may stand still before it is taken for dead. */
const STALLED_MS = 5000;
const LOOK_MS = 100;

/**
 * Builds projections that are new to the log, and returns when they are complete. Of several replicas that start at
 * once one builds; the others wait while it gets on, and build in its place when it does not.
 */
export async function complete(
  parts: RebuildParts,
  names: readonly string[],
  options: RebuildOptions = {},
): Promise<void> {
  const { registry, projector } = parts;
  const missing = async (): Promise<{ names: string[]; state: string }> => {
    const entries = await registry.load();
    const found = names.map((name) => entries.get(name)).filter((entry) => entry?.complete === false);
    return {
      names: found.flatMap((entry) => (entry ? [entry._id] : [])),
      state: JSON.stringify(found.map((entry) => [entry?.building?.builder, entry?.building?.done])),
    };
  };

  const idle = JSON.stringify(names.map(() => [undefined, undefined]));
  let found = await missing();
  let since = found.state === idle ? -Infinity : performance.now();
  while (found.names.length > 0) {
    if (performance.now() - since > STALLED_MS) {
      try {
        await rebuild(parts, { ...options, names: found.names });
      } catch (error) {
        if (!(error instanceof RebuildSupersededError)) throw error;
      }
    } else {
      await pause(LOOK_MS, options.signal);
    }
    const now = await missing();
    if (now.state !== found.state) since = performance.now();
    found = now;
  }
  await projector.refresh();
}

function positionOf({ aggregateId, to }: Commit): Position {
  return { aggregateId, to };
}

/** The build that has done least: what the others have more of, they will recognise. */
function furthestBack(builds: readonly Build[]): Pick<Build, 'done' | 'after'> {
  const [first = { done: 0 }, ...others] = builds;
  return others.reduce<Pick<Build, 'done' | 'after'>>(
    (least, build) => (comparePositions(build.after, least.after) < 0 ? build : least),
    first,
  );
}

/** As the database orders them: by bytes. */
function comparePositions(a: Position | undefined, b: Position | undefined): number {
  if (!a || !b) return Number(a !== undefined) - Number(b !== undefined);
  return Buffer.compare(Buffer.from(a.aggregateId), Buffer.from(b.aggregateId)) || a.to - b.to;
}
