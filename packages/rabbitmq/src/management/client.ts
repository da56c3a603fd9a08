/**
 * The management API for one virtual host: bulk reads that serve every subscription at once, and single writes.
 *
 * A listing is one call however many objects there are, and without statistics. Writes are idempotent: declaring what is there
 * as wanted and deleting what is not there both succeed. Declaring what is there with other arguments is
 * WARREN_BROKER_CONFLICT: nothing was changed.
 */
import { z } from 'zod';
import type { TlsOptions } from '../tls.ts';
import { administrationOf, type Administration } from './administration.ts';
import { VhostCalls, type Signal } from './calls.ts';
import { countingOf, type Counting } from './counting.ts';
import { readAnswer } from './found.ts';
import { ManagementHttp, path, type RequestObserver } from './http.ts';
import { objectsOf, type BrokerObjects } from './objects.ts';
import type { TokenBucket } from './token-bucket.ts';

export interface ManagementOptions {
  /** `http(s)://user:password@host:port`. */
  url: string;
  vhost: string;
  /** Limit for one call with all its tries, in milliseconds; 10,000. */
  timeoutMs?: number;
  /** Calls at a time; 16. */
  maxParallel?: number;
  /** Tries of one call after connection errors, 429, 5xx and answers that are not RabbitMQ's; 4. */
  maxTries?: number;
  /** Each try takes from it, which limits the requests a second; no limit. */
  bucket?: TokenBucket | undefined;
  tls?: TlsOptions;
  observer?: RequestObserver | undefined;
}

export interface Overview {
  /** Of the broker, such as "4.3.6". */
  version: string;
  clusterName: string;
  /** Those that plugins bring too. Undefined where the broker does not tell. */
  exchangeTypes?: string[];
}

/** A resource alarm: the broker blocks every publisher until it is over. */
export interface Alarm {
  node: string;
  resource: string;
}

export interface ManagementClient extends BrokerObjects, Counting, Administration, AsyncDisposable {
  overview(options?: Signal): Promise<Overview>;
  /** Alarms in force in the cluster; none means that publishing works. */
  alarms(options?: Signal): Promise<Alarm[]>;

  /**
   * The virtual host whose exchange `amq.rabbitmq.event` tells of every change (plug-in rabbitmq_event_exchange): this one,
   * or `/`. Undefined when there is none that this user may see.
   */
  eventExchangeAt(options?: Signal): Promise<string | undefined>;
  /** Final and idempotent; what is under way rejects with ClosedError. */
  close(): Promise<void>;
}

const overviewAnswer = z.object({
  rabbitmq_version: z.string(),
  cluster_name: z.string().default(''),
  exchange_types: z.array(z.object({ name: z.string() })).optional(),
});
const alarmsAnswer = z.object({
  alarms: z.array(z.object({ node: z.string().default(''), resource: z.string().default('unknown') })).min(1),
});

export function createManagementClient({ vhost, ...options }: ManagementOptions): ManagementClient {
  const http = new ManagementHttp({ timeoutMs: 10_000, maxParallel: 16, maxTries: 4, ...options });
  const calls = new VhostCalls(http, vhost);
  return {
    ...objectsOf(calls),
    ...countingOf(calls),
    ...administrationOf(calls),

    async overview(options: Signal = {}): Promise<Overview> {
      const answer = await calls.get(overviewAnswer, path('overview'), {
        query: { disable_stats: 'true' },
        ...options,
      });
      const types = answer.exchange_types?.map(({ name }) => name);
      return {
        version: answer.rabbitmq_version,
        clusterName: answer.cluster_name,
        ...(types === undefined ? {} : { exchangeTypes: types }),
      };
    },

    async alarms(options: Signal = {}): Promise<Alarm[]> {
      const where = path('health', 'checks', 'alarms');
      const { status, body } = await calls.call('GET', where, { accept: [503], ...options });
      if (status !== 503) return [];
      // A 503 without any is of somebody who stands between.
      return readAnswer(alarmsAnswer, body, `GET ${where}`).alarms;
    },

    async eventExchangeAt(options: Signal = {}): Promise<string | undefined> {
      for (const vhost of new Set([calls.vhost, '/'])) {
        const where = path('exchanges', vhost, 'amq.rabbitmq.event');
        const { status } = await calls.call('GET', where, { accept: [401, 403, 404], ...options });
        if (status === 200) return vhost;
      }
      return undefined;
    },

    close: () => http.close(),
    [Symbol.asyncDispose]: () => http.close(),
  };
}
