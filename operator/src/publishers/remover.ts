/**
 * The end of an EventPublisher: its users go, with their connections, and then its finalizer. Where the broker does not answer,
 * or does not let the operator remove users, that waits, for a while: who still knows the credentials could go on publishing.
 */
import type { Log, ReconcileContext, Result } from '@warren/controller';
import type { BrokerConnection } from '../brokers/connection.ts';
import { concernsBroker, describeUnavailable } from '../brokers/broker-status.ts';
import type { BrokerRegistry } from '../brokers/registry.ts';
import { finishDeletion, Troubles } from '../deletion.ts';
import type { PublisherResource } from '../resources.ts';
import type { ResourceSource } from '../source.ts';
import type { Refusal } from '../telling.ts';
import { hasFinalizer, namespaceOf } from '../subscriptions/claims.ts';
import { removeUsersOf, USER_LEFT } from '../users/removal.ts';
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
  readonly #troubles: Troubles;

  constructor(options: PublisherRemoverOptions) {
    this.#options = options;
    this.#troubles = new Troubles(options.abandonAfterMs);
  }

  /** A publisher is gone. */
  forget(key: string): void {
    this.#troubles.forget(key);
  }

  async remove(resource: PublisherResource, { signal }: Pick<ReconcileContext, 'signal'>): Promise<Result> {
    // Without it nothing was made.
    if (!hasFinalizer(resource)) return {};
    const state = this.#options.registry.stateOf(resource.spec.brokerRef.name);
    if (state.state === 'unknown') return { requeueAfterMs: 1_000 };
    if (state.state === 'up') return this.#removeFrom(state.connection, resource, signal);
    try {
      if (state.last !== undefined) return await this.#removeFrom(state.last, resource, signal);
    } catch (error) {
      if (!concernsBroker(error)) throw error;
    }
    const message = describeUnavailable(resource, state.message);
    return this.#hold(resource, { reason: 'BrokerUnavailable', message });
  }

  /** Undefined where the broker has not refused it, or not often enough. */
  async refused(
    resource: PublisherResource,
    error: unknown,
    context: Pick<ReconcileContext, 'failures'>,
  ): Promise<Result | undefined> {
    const refusal = this.#troubles.refused(resource, error, context);
    return refusal === undefined ? undefined : this.#hold(resource, refusal);
  }

  async #removeFrom(
    connection: BrokerConnection,
    resource: PublisherResource,
    signal: AbortSignal,
  ): Promise<Result> {
    const { source } = this.#options;
    const left = await removeUsersOf(publisherOf(resource, connection), { connection, source, signal });
    if (left !== undefined) return this.#hold(resource, { reason: 'NotAdministrator', message: left });
    const message = 'its users on the broker are deleted';
    return finishDeletion(resource, { type: 'Normal', reason: 'Deleted', message }, this.#options);
  }

  async #hold(resource: PublisherResource, { reason, message }: Refusal): Promise<Result> {
    const { source, lookAgainMs, conclude } = this.#options;
    const { isOver, leftMs } = this.#troubles.patienceOf(resource);
    if (isOver || (await source.namespaceIsEnding(namespaceOf(resource)))) {
      const story = { type: 'Warning', reason: 'Abandoned', message: `${USER_LEFT}: ${message}` } as const;
      return finishDeletion(resource, story, this.#options);
    }
    await conclude(resource, { ready: 'False', reason, message });
    return { requeueAfterMs: Math.min(lookAgainMs, leftMs) };
  }
}
