/**
 * What the operator calls on a broker: a seam, so that a test can make one call fail, or count them.
 *
 * Exchanges, queues and bindings are written over AMQP, where each is made whole though the operator be killed meanwhile
 * (topology-writer.ts tells what the management API leaves behind). Where there is no way by AMQP the management API does
 * it: a subscription that is served is better than one that waits.
 */
import { createManagementClient, ManagementError, TokenBucket } from '@warren/rabbitmq';
import type { ManagementClient, TlsOptions, TopologyWriter } from '@warren/rabbitmq';
import { AmqpWay } from './amqp-way.ts';

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
  /** `amqp(s)://user:password@host:port/vhost`: where it is not there, all is written by the management API. */
  uri?: string;
  vhost: string;
  tls?: TlsOptions;
  /** Requests, reads too, and what is done by AMQP; no limit where it is not there. */
  requestsPerSecond?: number | undefined;
  /** Told of every request; `status` is undefined where no answer came. */
  observer?: (request: { method: string; status: number | undefined }) => void;
  /** For a call with all its tries. */
  timeoutMs?: number;
}

export type ConnectBroker = (address: BrokerAddress) => BrokerClient;

/** A busy broker with thousands of queues takes its time for a listing: it is not to be called gone for that. */
const TIMEOUT_MS = 30_000;

export const connectBroker: ConnectBroker = ({
  uri,
  requestsPerSecond,
  timeoutMs = TIMEOUT_MS,
  ...address
}) => {
  const bucket =
    requestsPerSecond === undefined ? undefined : new TokenBucket({ perSecond: requestsPerSecond });
  const management = createManagementClient({ ...address, timeoutMs, bucket });
  if (uri === undefined) return management;
  const { tls, observer } = address;
  const way = new AmqpWay(
    { url: uri, ...(tls === undefined ? {} : { tls }) },
    { timeoutMs, bucket, observer: ({ status }) => observer?.({ method: 'AMQP', status }) },
  );
  return withWrites(management, way);
};

function withWrites(management: ManagementClient, way: AmqpWay): BrokerClient {
  /** All of them may be done twice. */
  const write = async (to: (writer: TopologyWriter) => Promise<void>): Promise<void> => {
    const writer = await way.writer();
    if (writer === undefined) return to(management);
    try {
      await to(writer);
    } catch (error) {
      if (!(error instanceof ManagementError) || error.code !== 'WARREN_BROKER_UNREACHABLE') throw error;
      await to(management);
    }
  };
  const writes: TopologyWriter = {
    declareExchange: (exchange, options) => write((by) => by.declareExchange(exchange, options)),
    deleteExchange: (name, options) => write((by) => by.deleteExchange(name, options)),
    declareQueue: (queue, options) => write((by) => by.declareQueue(queue, options)),
    deleteQueue: (name, options) => write((by) => by.deleteQueue(name, options)),
    bind: (binding, options) => write((by) => by.bind(binding, options)),
    // AMQP knows arguments by their types, which the management API does not tell.
    unbind: (binding, options) =>
      Object.keys(binding.arguments).length > 0
        ? management.unbind(binding, options)
        : write((by) => by.unbind(binding, options)),
  };
  const close = async () => {
    await Promise.all([way.close(), management.close()]);
  };
  const own: Partial<BrokerClient> = { ...writes, close };
  return new Proxy<BrokerClient>(management, {
    get: (_target, name) => {
      if (Object.hasOwn(own, name)) return Reflect.get(own, name) as unknown;
      const value: unknown = Reflect.get(management, name, management);
      return typeof value === 'function' ? (value.bind(management) as unknown) : value;
    },
  });
}
