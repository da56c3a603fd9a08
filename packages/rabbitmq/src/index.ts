/**
 * RabbitMQ for Warren: a connection that comes back, a publisher that knows the outcome, a consumer that loses nothing,
 * and the management API in bulk. README.md tells the guarantees.
 */
export {
  connectBroker,
  type BrokerConnection,
  type ConnectionState,
  type ConnectOptions,
} from './connection.ts';
export { createConsumer, type Consumer, type ConsumerOptions } from './consumer.ts';
export { createPublisher, type Publisher, type PublisherOptions } from './publisher.ts';
export { KeptChannel, type ChannelOwner, type Lease } from './channel.ts';
export { headerNames, type Delivery, type MessageProperties, type OutgoingMessage } from './message.ts';
export type { ConsumerObserver, Outcome, Settled } from './observer.ts';
export type { Handler, HandlerContext } from './session.ts';
export type { ConsumerSettings, StreamSettings } from '@warren/topology';
export { moveMessages, type MoveOptions, type Moved } from './mover.ts';
export { percentDecoded, withoutCredentials } from './endpoint.ts';
export * from './errors.ts';
export {
  createManagementClient,
  type Alarm,
  type ManagementClient,
  type ManagementOptions,
  type Overview,
} from './management/client.ts';
export { createTopologyWriter, type TopologyWriter, type TopologyWriterOptions } from './topology-writer.ts';
export { Places } from './places.ts';
export { TokenBucket } from './management/token-bucket.ts';
export type { TlsOptions } from './tls.ts';
export type {
  BindingFound,
  ExchangeFound,
  PolicyFound,
  QueueActivity,
  QueueFound,
  QueueStats,
} from './management/found.ts';
export {
  hashPassword,
  hasPassword,
  type Permission,
  type PermissionFound,
  type TopicPermission,
  type TopicPermissionFound,
  type UserFound,
} from './management/users.ts';
