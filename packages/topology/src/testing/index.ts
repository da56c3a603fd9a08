/** For tests of whoever has to do with subscriptions. */
export { plainSpec } from './plain-spec.ts';
