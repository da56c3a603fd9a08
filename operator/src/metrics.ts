/** The operator's own metrics, beside those of @warren/controller under controller-runtime's names. */
import { Counter, Gauge } from 'prom-client';
import type { Registry } from 'prom-client';

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
  const perSubscription = ['namespace', 'name'] as const;
  new Gauge({
    name: 'warren_subscription_ready',
    help: '1 when the subscription is Ready',
    labelNames: perSubscription,
    registers,
    collect() {
      this.reset();
      for (const { namespace, name, ready } of numbers()) this.set({ namespace, name }, ready ? 1 : 0);
    },
  });
  new Gauge({
    name: 'warren_subscription_messages',
    help: 'Messages of a subscription by state: ready, unacked, dead_letters. No value means not known',
    labelNames: [...perSubscription, 'state'] as const,
    registers,
    collect() {
      this.reset();
      for (const { namespace, name, messages } of numbers()) {
        if (messages === undefined) continue;
        if (messages.ready !== undefined) this.set({ namespace, name, state: 'ready' }, messages.ready);
        if (messages.unacked !== undefined) this.set({ namespace, name, state: 'unacked' }, messages.unacked);
        this.set({ namespace, name, state: 'dead_letters' }, messages.deadLetters);
      }
    },
  });
  new Gauge({
    name: 'warren_subscription_consumers',
    help: 'Consumers attached to the queue of a subscription',
    labelNames: perSubscription,
    registers,
    collect() {
      this.reset();
      for (const { namespace, name, consumers } of numbers())
        if (consumers !== undefined) this.set({ namespace, name }, consumers);
    },
  });
  new Gauge({
    name: 'warren_subscription_replicas',
    help: 'Replicas of the consumer of a subscription with scaling: current, desired. No value means not known',
    labelNames: [...perSubscription, 'state'] as const,
    registers,
    collect() {
      this.reset();
      for (const { namespace, name, replicas } of numbers()) {
        const { current, desired } = replicas ?? {};
        if (current !== undefined) this.set({ namespace, name, state: 'current' }, current);
        if (desired !== undefined) this.set({ namespace, name, state: 'desired' }, desired);
      }
    },
  });
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
