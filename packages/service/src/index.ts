/** One call that makes a service: HTTP, health, metrics, traces, consumers, the relay, and a graceful end. */
export { parseBinding, readBinding } from './binding.ts';
export type { Binding } from './binding.ts';
export { defineService } from './definition.ts';
export type { App, Consumer, ServiceDefinition, ServiceParts } from './definition.ts';
export {
  BindingError,
  NoBrokerError,
  Refusal,
  RetryLaterError,
  SettingsError,
  TimeLimitError,
} from './errors.ts';
export { on, onAny } from './handlers.ts';
export type { Handler, HandlerContext } from './handlers.ts';
export type { Logger } from './log.ts';
export { openApi } from './openapi.ts';
export { invalid, notFound, Problem } from './problem.ts';
export type { FieldError, ProblemDocument } from './problem.ts';
export { replayService } from './replay.ts';
export type { ReplayProgress } from './replay.ts';
export { route } from './route.ts';
export type { Route, RouteRequest, RouteResponse } from './route.ts';
export { runService } from './run.ts';
export { startService } from './service.ts';
export type { Service, StartOptions } from './service.ts';
export { Places } from '@warren/rabbitmq';
export { baseSettings, readSettings } from './settings.ts';
export type { BaseSettings, Environment } from './settings.ts';
export type { ShutdownOutcome } from './shutdown.ts';
