/**
 * Replay: a service's read models, dropped and made again out of its own log.
 */
import { createEventStore, rebuildProjections } from '@warren/event-store';
import { z } from 'zod';
import { createDatabase, openDatabase } from './database.ts';
import type { ServiceDefinition } from './definition.ts';
import { createLog } from './log.ts';
import { baseSettings, readSettings } from './settings.ts';
import type { Environment } from './settings.ts';

/** How far a replay is. */
export interface ReplayProgress {
  /** Commits so far; `total` is what the database estimated at the beginning. */
  readonly done: number;
  readonly total: number;
  readonly ratePerSecond: number;
}

/** What a replay needs of the environment: MONGODB_URL and LOG_LEVEL. */
const replaySettings = z.object({
  MONGODB_URL: baseSettings.shape.MONGODB_URL,
  LOG_LEVEL: baseSettings.shape.LOG_LEVEL,
});

/** Rebuilds all projections of a service; the service may go on running meanwhile. */
export async function replayService(
  definition: ServiceDefinition,
  options: {
    readonly env?: Environment;
    readonly onProgress?: (progress: ReplayProgress) => void;
    readonly signal?: AbortSignal;
  } = {},
): Promise<ReplayProgress> {
  const { MONGODB_URL, LOG_LEVEL } = readSettings(replaySettings, options.env ?? process.env);
  const signal = options.signal ?? new AbortController().signal;
  const database = createDatabase();
  let last: ReplayProgress = { done: 0, total: 0, ratePerSecond: 0 };
  try {
    await openDatabase(database, MONGODB_URL, definition.name, createLog(definition.name, LOG_LEVEL), signal);
    const store = createEventStore({
      connection: database,
      catalogue: definition.catalogue,
      source: definition.name,
      projections: [...(definition.projections ?? [])],
    });
    await store.init({ signal });
    await rebuildProjections(store, {
      signal,
      onProgress: (progress) => {
        last = progress;
        options.onProgress?.(progress);
      },
    });
    return last;
  } finally {
    await database.close();
  }
}
