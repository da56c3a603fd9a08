/** Exchanges, queues, bindings and policies of one virtual host: read in bulk, and written one by one. */
import { canonical, type Binding, type Exchange, type Queue } from '@warren/topology';
import { z } from 'zod';
import type { TopologyWriter } from '../topology-writer.ts';
import type { Signal, VhostCalls } from './calls.ts';
import { bindingAnswer, exchangeAnswer, policyAnswer, queueAnswer, readAnswer } from './found.ts';
import type { BindingFound, ExchangeFound, PolicyFound, QueueFound } from './found.ts';
import { path, type CallOptions } from './http.ts';

export interface Found {
  exchanges: readonly ExchangeFound[];
  queues: readonly QueueFound[];
  bindings: readonly BindingFound[];
  policies: readonly PolicyFound[];
  /** Set by administrators: what they say wins over, or limits, what the other policies say. */
  operatorPolicies: readonly PolicyFound[];
}

export type Policy = PolicyFound;

export interface BrokerObjects extends TopologyWriter {
  /**
   * Everything in the virtual host, but the bindings of the default exchange: every queue has one, by its name alone. A listing
   * that is the same as in the call before is the same array.
   */
  inventory(options?: Signal): Promise<Found>;
  /** One queue, or undefined when there is none. */
  queue(name: string, options?: Signal): Promise<QueueFound | undefined>;
  /** As inventory() has them; none for a queue that is not there. */
  bindingsOf(queue: string, options?: Signal): Promise<BindingFound[]>;

  putPolicy(policy: Policy, options?: Signal): Promise<void>;
  deletePolicy(name: string, options?: Signal): Promise<void>;
}

export function objectsOf(calls: VhostCalls): BrokerObjects {
  const bindingsAt = async (where: string, options: CallOptions): Promise<BindingFound[]> => {
    const { status, body } = await calls.call('GET', where, options);
    if (status === 404) return [];
    return readAnswer(z.array(bindingAnswer), body, `GET ${where}`).filter(isByHand);
  };

  const pathBetween = ({ source, destination, destinationType }: Binding): string =>
    path('bindings', calls.vhost, 'e', source, destinationType === 'queue' ? 'q' : 'e', destination);

  return {
    async inventory(options: Signal = {}): Promise<Found> {
      const [exchanges, queues, bindings, policies, operatorPolicies] = await Promise.all([
        calls.list(exchangeAnswer, path('exchanges', calls.vhost), options),
        calls.queues(options),
        calls.list(bindingAnswer, path('bindings', calls.vhost), options, isByHand),
        calls.list(policyAnswer, path('policies', calls.vhost), options),
        calls.list(policyAnswer, path('operator-policies', calls.vhost), options),
      ]);
      return { exchanges, queues, bindings, policies, operatorPolicies };
    },

    async queue(name: string, options: Signal = {}): Promise<QueueFound | undefined> {
      const where = path('queues', calls.vhost, name);
      const query = { disable_stats: 'true', enable_queue_totals: 'true' };
      const { status, body } = await calls.call('GET', where, { accept: [404], query, ...options });
      return status === 404 ? undefined : readAnswer(queueAnswer, body, `GET ${where}`);
    },

    async bindingsOf(queue: string, options: Signal = {}): Promise<BindingFound[]> {
      return await bindingsAt(path('queues', calls.vhost, queue, 'bindings'), {
        accept: [404],
        ...options,
      });
    },

    async declareExchange(
      { name, type, durable, autoDelete, ...exchange }: Exchange,
      options: Signal = {},
    ): Promise<void> {
      const body = { type, durable, auto_delete: autoDelete, arguments: exchange.arguments };
      await calls.call('PUT', path('exchanges', calls.vhost, name), { body, ...options });
    },

    async deleteExchange(name: string, options: Signal = {}): Promise<void> {
      await calls.delete(path('exchanges', calls.vhost, name), options);
    },

    async declareQueue({ name, durable, autoDelete, ...queue }: Queue, options: Signal = {}): Promise<void> {
      const body = { durable, auto_delete: autoDelete, arguments: queue.arguments };
      await calls.call('PUT', path('queues', calls.vhost, name), { body, ...options });
    },

    async deleteQueue(name: string, options: Signal = {}): Promise<void> {
      await calls.delete(path('queues', calls.vhost, name), options);
    },

    async bind(binding: Binding, options: Signal = {}): Promise<void> {
      const body = { routing_key: binding.routingKey, arguments: binding.arguments };
      await calls.call('POST', pathBetween(binding), { body, ...options });
    },

    /** The broker names a binding by a key of its own making (a hash where there are arguments), so it is looked up. */
    async unbind(binding: Binding, options: Signal = {}): Promise<void> {
      const between = pathBetween(binding);
      const wanted = canonical(binding.arguments);
      const same = (await bindingsAt(between, { accept: [404], ...options })).filter(
        (each) => each.routingKey === binding.routingKey && canonical(each.arguments) === wanted,
      );
      for (const { propertiesKey } of same) {
        await calls.delete(`${between}/${encodeURIComponent(propertiesKey)}`, options);
      }
    },

    async putPolicy({ name, applyTo, ...policy }: Policy, options: Signal = {}): Promise<void> {
      const body = { ...policy, 'apply-to': applyTo };
      await calls.call('PUT', path('policies', calls.vhost, name), { body, ...options });
    },

    async deletePolicy(name: string, options: Signal = {}): Promise<void> {
      await calls.delete(path('policies', calls.vhost, name), options);
    },
  };
}

/** The default exchange's come with the queues. */
function isByHand({ source }: BindingFound): boolean {
  return source !== '';
}
