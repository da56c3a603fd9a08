/**
 * The end of an EventPublisher: its users go, with their connections, and then its finalizer. Where the broker does not answer
 * that waits, for a while: who still knows the credentials could go on publishing.
 */
import type { Log, ReconcileContext, Result } from '@warren/controller';
import type { BrokerConnection } from '../brokers/connection.ts';
import { concernsBroker, describeUnavailable } from '../brokers/broker-status.ts';
import type { BrokerRegistry } from '../brokers/registry.ts';
import { patienceOf } from '../patience.ts';
import type { PublisherResource } from '../resources.ts';
import type { ResourceSource } from '../source.ts';
import { tellOf } from '../telling.ts';
import { isClaimed, namespaceOf } from '../subscriptions/claims.ts';
import { publisherOf } from './rights.ts';
import type { Conclusion } from './status.ts';

export interface PublisherRemoverOptions {
  source: ResourceSource;
  registry: BrokerRegistry;
  log: Log;
  abandonAfterMs: number;
  lookAgainMs: number;
  conclude: (resource: PublisherResource, conclusion: Conclusion) => Promise<void>;
}

export class PublisherRemover {
  readonly #options: PublisherRemoverOptions;

  constructor(options: PublisherRemoverOptions) {
    this.#options = options;
  }

  async remove(resource: PublisherResource, { signal }: Pick<ReconcileContext, 'signal'>): Promise<Result> {
    // Without it nothing was made.
    if (!isClaimed(resource)) return {};
    const state = this.#options.registry.stateOf(resource.spec.brokerRef.name);
    if (state.state === 'unknown') return { requeueAfterMs: 1_000 };
    if (state.state === 'up') return this.#removeFrom(state.connection, resource, signal);
    try {
      if (state.last !== undefined) return await this.#removeFrom(state.last, resource, signal);
    } catch (error) {
      if (!concernsBroker(error)) throw error;
    }
    return this.#hold(resource, state.message);
  }

  async #removeFrom(
    connection: BrokerConnection,
    resource: PublisherResource,
    signal: AbortSignal,
  ): Promise<Result> {
    await removeUsers(resource, connection, signal);
    await this.#finish(resource, 'Normal', 'Deleted', 'its users on the broker are deleted');
    return {};
  }

  async #hold(resource: PublisherResource, why: string): Promise<Result> {
    const { source, abandonAfterMs, lookAgainMs, conclude } = this.#options;
    const message = describeUnavailable(resource, why);
    const { isOver, leftMs } = patienceOf(resource, abandonAfterMs);
    if (isOver || (await source.namespaceIsEnding(namespaceOf(resource)))) {
      const left =
        'given up; should its user be left on the broker, it goes when the broker is back and nobody is connected as it';
      await this.#finish(resource, 'Warning', 'Abandoned', `${left}: ${message}`);
      return {};
    }
    await conclude(resource, { ready: 'False', reason: 'BrokerUnavailable', message });
    return { requeueAfterMs: Math.min(lookAgainMs, leftMs) };
  }

  /** Told before the finalizer goes: afterwards there is nothing left to tell it of. */
  async #finish(
    resource: PublisherResource,
    type: 'Normal' | 'Warning',
    reason: string,
    message: string,
  ): Promise<void> {
    tellOf(resource, { type, reason, action: 'Delete', message }, this.#options);
    await this.#options.source.removeFinalizer(resource);
  }
}

async function removeUsers(
  resource: PublisherResource,
  connection: BrokerConnection,
  signal: AbortSignal,
): Promise<void> {
  const { users } = connection;
  // After a write that failed nobody knows who is there.
  if (!users.isKnown) await users.look();
  await users.remove(publisherOf(resource, connection).of, signal);
}
