/** The events that services share: what they are, what is in them, how they travel. */
export type { Event, NewEvent } from './event.ts';
export { eventKeyOf } from './event-key.ts';
export { routingKeyOf, isEventTypeName } from './routing-key.ts';
export { defineEvent } from './event-type.ts';
export type { DataOf, EventDefinition, EventOf, EventType, EventVersion, Upcaster } from './event-type.ts';
export { createCatalogue } from './catalogue.ts';
export type { AnyEventType, Catalogue } from './catalogue.ts';
export { decodeEvent, encodeEvent } from './cloudevents.ts';
export type { EncodedEvent, ReceivedMessage } from './cloudevents.ts';
export { CatalogueError, ContractError, MalformedEventError } from './errors.ts';
export type { ContractErrorCode, ContractIssue } from './errors.ts';
export * from './shop/index.ts';
export { renderEventsReference } from './events-reference.ts';
