/** Helpers for the tests of services. */
export { asEvent, given } from './given.ts';
export type { Given, Then } from './given.ts';
export { startOtlpReceiver } from './otlp-receiver.ts';
export type { OtlpReceiver, ReceivedSpan } from './otlp-receiver.ts';
export { startProcess } from './process.ts';
export type { TestProcess, TestProcessOptions } from './process.ts';
export { openSpy } from './spy.ts';
export type { Spy } from './spy.ts';
export { openSubscription } from './subscription.ts';
export type { TestSubscription, TestSubscriptionOptions } from './subscription.ts';
export { ask, openWorkbench } from './workbench.ts';
export type { Answer, AskOptions, Workbench } from './workbench.ts';
