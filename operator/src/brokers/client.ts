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

export const connectBroker: ConnectBroker = createManagementClient;
