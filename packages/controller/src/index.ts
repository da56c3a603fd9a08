/** A controller runtime for TypeScript. See README.md. */
export * from './clock.ts';
export * from './log.ts';
export * from './object.ts';
export * from './source.ts';
