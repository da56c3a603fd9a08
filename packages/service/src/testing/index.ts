/** Helpers for the tests of services. */
export { asEvent, given } from './given.ts';
export type { Given, Then } from './given.ts';
export { openSubscription } from './subscription.ts';
export type { TestSubscription } from './subscription.ts';
