/** A controller runtime for TypeScript. See README.md. */
export * from './clock.ts';
export * from './cluster.ts';
export * from './controller.ts';
export * from './errors.ts';
export * from './log.ts';
export * from './metrics.ts';
export * from './object.ts';
export * from './predicates.ts';
export * from './rate-limiter.ts';
export * from './reflector.ts';
export * from './resource-client.ts';
export * from './source.ts';
export * from './store.ts';
export * from './watch-source.ts';
export type { WatchEvent } from './watch-stream.ts';
export * from './work-queue.ts';
