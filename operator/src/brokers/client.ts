/** What the operator calls on a broker's management API: a seam, so that a test can make one call fail, or count them. */
import { createManagementClient } from '@warren/rabbitmq';
import type { ManagementClient, ManagementOptions, TlsOptions } from '@warren/rabbitmq';

export type BrokerClient = Pick<
  ManagementClient,
  | 'overview'
  | 'alarms'
  | 'eventExchangeAt'
  | 'inventory'
  | 'queueStats'
  | 'queueActivity'
  | 'queue'
  | 'declareExchange'
  | 'deleteExchange'
  | 'declareQueue'
  | 'deleteQueue'
  | 'bind'
  | 'unbind'
  | 'putPolicy'
  | 'deletePolicy'
  | 'users'
  | 'permissions'
  | 'topicPermissions'
  | 'putUser'
  | 'putPermission'
  | 'putTopicPermission'
  | 'deleteTopicPermissions'
  | 'deleteUser'
  | 'connectionsOf'
  | 'close'
>;

export interface BrokerAddress {
  /** `http(s)://user:password@host:port` */
  url: string;
  vhost: string;
  tls?: TlsOptions;
  /** Requests, reads too; no limit where it is not there. */
  requestsPerSecond?: number | undefined;
  /** Told of every request. */
  observer?: ManagementOptions['observer'];
}

export type ConnectBroker = (address: BrokerAddress) => BrokerClient;

/** A busy broker with thousands of queues takes its time for a listing: it is not to be called gone for that. */
const TIMEOUT_MS = 30_000;

export const connectBroker: ConnectBroker = (address) =>
  createManagementClient({ ...address, timeoutMs: TIMEOUT_MS });
