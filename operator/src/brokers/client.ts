/** What the operator calls on a broker's management API: a seam, so that a test can make one call fail, or count them. */
import { createManagementClient } from '@warren/rabbitmq';
import type { ManagementClient } from '@warren/rabbitmq';

export type BrokerClient = Pick<
  ManagementClient,
  | 'overview'
  | 'inventory'
  | 'queueStats'
  | 'queue'
  | 'declareExchange'
  | 'deleteExchange'
  | 'declareQueue'
  | 'deleteQueue'
  | 'bind'
  | 'unbind'
  | 'putPolicy'
  | 'deletePolicy'
  | 'close'
>;

/** @param url `http(s)://user:password@host:port` */
export type ConnectBroker = (access: { url: string; vhost: string }) => BrokerClient;

/** A busy broker with thousands of queues takes its time for a listing: it is not to be called gone for that. */
const TIMEOUT_MS = 30_000;

export const connectBroker: ConnectBroker = ({ url, vhost }) =>
  createManagementClient({ url, vhost, timeoutMs: TIMEOUT_MS });
