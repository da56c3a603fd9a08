/** For the tests of controllers: a clock to hold, and an API server that fails on demand. */
export * from './eventually.ts';
export * from './fake-api-server.ts';
export * from './virtual-clock.ts';
