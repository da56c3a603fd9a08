/** For tests: a broker's client that notes every call, and fails where it is told to. */
import { ManagementError } from '@warren/rabbitmq';
import { connectBroker } from '../brokers/client.ts';
import type { BrokerClient, ConnectBroker } from '../brokers/client.ts';

export type CallName = Exclude<keyof BrokerClient, 'close'>;

export interface Calls {
  readonly connect: ConnectBroker;
  /** In their order, finished or not. */
  readonly made: readonly CallName[];
  /** How many of them changed the broker. */
  readonly writes: number;
  /** Asked before every call: what it throws, the call fails with. */
  before: (call: CallName) => void | Promise<void>;
  /** Given what every call gave back, gives back what the caller gets. */
  after: (call: CallName, result: unknown) => unknown;
  reset(): void;
}

const READS: readonly string[] = [
  'overview',
  'alarms',
  'eventExchangeAt',
  'inventory',
  'queueStats',
  'queueActivity',
  'queue',
  'users',
  'permissions',
  'topicPermissions',
  'connectionsOf',
];

/** @param timeoutMs of a call with all its tries: shorter than the operator's own, where a test waits for it */
export function recordCalls({ timeoutMs }: { timeoutMs?: number } = {}): Calls {
  const made: CallName[] = [];
  const calls: Calls = {
    made,
    get writes() {
      return made.filter((name) => !READS.includes(name)).length;
    },
    before: () => undefined,
    after: (_call, result) => result,
    reset: () => (made.length = 0),
    connect: (access) => {
      const client = connectBroker({ ...access, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
      return new Proxy(client, {
        get(target, name) {
          const method = (target as unknown as Record<string | symbol, unknown>)[name];
          if (typeof method !== 'function') return method;
          const bound = method.bind(target) as (...args: unknown[]) => Promise<unknown>;
          if (name === 'close') return bound;
          return async (...args: unknown[]) => {
            made.push(name as CallName);
            await calls.before(name as CallName);
            return calls.after(name as CallName, await bound(...args));
          };
        },
      });
    },
  };
  return calls;
}

/** After so many writes nothing goes out any more: what the broker sees of a process that is killed there. */
export function recordCallsUntilDeath(writes: number): Calls & { readonly died: boolean } {
  const calls = recordCalls();
  const fate = { died: false };
  calls.before = () => {
    if (calls.writes <= writes) return;
    fate.died = true;
    throw new ManagementError('WARREN_BROKER_UNREACHABLE', 'any call', 'the process is dead');
  };
  return Object.defineProperty(calls, 'died', { get: () => fate.died }) as Calls & { readonly died: boolean };
}
