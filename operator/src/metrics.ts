/** The operator's own metrics, beside those of @warren/controller under controller-runtime's names. */
import { Counter, Gauge } from 'prom-client';
import type { Registry } from 'prom-client';
import { LookedAtGauge } from './looked-at-gauge.ts';

export interface SubscriptionNumbers {
  namespace: string;
  name: string;
  ready: boolean;
  messages?: { ready?: number; unacked?: number; deadLetters: number };
  consumers?: number;
  replicas?: { current?: number; desired?: number };
}

export interface OperatorMetrics {
  /** A subscription's objects were found other than they were left. */
  driftFound(broker: string): void;
  stepApplied(broker: string, action: string, kind: string): void;
  stepFailed(broker: string, action: string, kind: string): void;
  brokerUp(broker: string, up: boolean): void;
  brokerGone(broker: string): void;
  inventoryRead(broker: string, seconds: number): void;
  /** To the management API, or (method AMQP) over AMQP; without a status where no answer came. */
  requestMade(broker: string, method: string, status: number | undefined): void;
}

type Named = Pick<SubscriptionNumbers, 'namespace' | 'name'>;
interface Value {
  labels: Record<string, string>;
  value: number;
}
type ValuesOf = (numbers: SubscriptionNumbers) => Value[];

/** @param numbers looked at when the metrics are read, so that a subscription that is gone leaves nothing behind. */
export function createOperatorMetrics(
  registry: Registry,
  numbers: () => Iterable<SubscriptionNumbers>,
): OperatorMetrics {
  const registers = [registry];
  const drift = new Counter({
    name: 'warren_subscription_drift_found_total',
    help: 'Times that the broker objects of a subscription were found other than the operator left them',
    labelNames: ['broker'] as const,
    registers,
  });
  const steps = new Counter({
    name: 'warren_subscription_steps_applied_total',
    help: 'Writes to the broker, by what was done to what',
    labelNames: ['broker', 'action', 'kind'] as const,
    registers,
  });
  const failures = new Counter({
    name: 'warren_subscription_steps_failed_total',
    help: 'Writes that the broker refused or did not answer',
    labelNames: ['broker', 'action', 'kind'] as const,
    registers,
  });
  const up = new Gauge({
    name: 'warren_broker_up',
    help: '1 while the management API of the broker answers',
    labelNames: ['broker'] as const,
    registers,
  });
  const inventory = new Gauge({
    name: 'warren_broker_inventory_seconds',
    help: 'How long the last bulk read of a virtual host took',
    labelNames: ['broker'] as const,
    registers,
  });
  const requests = new Counter({
    name: 'warren_broker_requests_total',
    help: 'Requests to a broker: to its management API, and over AMQP (method AMQP), by status or reply code (or "<error>")',
    labelNames: ['broker', 'method', 'code'] as const,
    registers,
  });
  const looked = (name: string, help: string, valuesOf: ValuesOf) =>
    new LookedAtGauge({ name, help, registers, look: () => [...numbers()].flatMap(valuesOf) });
  looked('warren_subscription_ready', '1 when the subscription is Ready', ({ ready, ...one }) => [
    valueOf(one, ready ? 1 : 0),
  ]);
  looked(
    'warren_subscription_messages',
    'Messages of a subscription by state: ready, unacked, dead_letters. No value means not known',
    ({ messages, ...one }) => [
      ...known(one, messages?.ready, 'ready'),
      ...known(one, messages?.unacked, 'unacked'),
      ...known(one, messages?.deadLetters, 'dead_letters'),
    ],
  );
  looked(
    'warren_subscription_consumers',
    'Consumers attached to the queue of a subscription',
    ({ consumers, ...one }) => known(one, consumers),
  );
  looked(
    'warren_subscription_replicas',
    'Replicas of the consumer of a subscription with scaling: current, desired. No value means not known',
    ({ replicas, ...one }) => [
      ...known(one, replicas?.current, 'current'),
      ...known(one, replicas?.desired, 'desired'),
    ],
  );
  return {
    driftFound: (broker) => drift.inc({ broker }),
    stepApplied: (broker, action, kind) => steps.inc({ broker, action, kind }),
    stepFailed: (broker, action, kind) => failures.inc({ broker, action, kind }),
    brokerUp: (broker, isUp) => up.set({ broker }, isUp ? 1 : 0),
    brokerGone: (broker) => {
      up.remove({ broker });
      inventory.remove({ broker });
    },
    requestMade: (broker, method, status) => requests.inc({ broker, method, code: status ?? '<error>' }),
    inventoryRead: (broker, seconds) => inventory.set({ broker }, seconds),
  };
}

function valueOf({ namespace, name }: Named, value: number, state?: string): Value {
  return { labels: { namespace, name, ...(state === undefined ? {} : { state }) }, value };
}

function known(one: Named, value: number | undefined, state?: string): Value[] {
  return value === undefined ? [] : [valueOf(one, value, state)];
}
