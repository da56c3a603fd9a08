/**
 * The end of an EventPublisher: its users go, with their connections, and then its finalizer. Where the broker does not answer,
 * or does not let the operator remove users, that waits, for a while: who still knows the credentials could go on publishing.
 */
import type { Log, ReconcileContext, Result } from '@warren/controller';
import type { BrokerConnection } from '../brokers/connection.ts';
import { concernsBroker, describeUnavailable } from '../brokers/broker-status.ts';
import type { BrokerRegistry } from '../brokers/registry.ts';
import { finishDeletion, patienceOf } from '../deletion.ts';
import type { PublisherResource } from '../resources.ts';
import type { ResourceSource } from '../source.ts';
import { refusalOf } from '../telling.ts';
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

  constructor(options: PublisherRemoverOptions) {
    this.#options = options;
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
    return this.#hold(resource, 'BrokerUnavailable', describeUnavailable(resource, state.message));
  }

  /** The broker answers, and does not let it be done, or fails at it again and again. Undefined where it is not the broker. */
  async refused(resource: PublisherResource, error: unknown): Promise<Result | undefined> {
    const refusal = refusalOf(error);
    return refusal === undefined ? undefined : this.#hold(resource, refusal.reason, refusal.message);
  }

  async #removeFrom(
    connection: BrokerConnection,
    resource: PublisherResource,
    signal: AbortSignal,
  ): Promise<Result> {
    const { source } = this.#options;
    const left = await removeUsersOf(publisherOf(resource, connection), { connection, source, signal });
    if (left !== undefined) return this.#hold(resource, 'NotAdministrator', left);
    const message = 'its users on the broker are deleted';
    return finishDeletion(resource, { type: 'Normal', reason: 'Deleted', message }, this.#options);
  }

  async #hold(resource: PublisherResource, reason: string, message: string): Promise<Result> {
    const { source, abandonAfterMs, lookAgainMs, conclude } = this.#options;
    const { isOver, leftMs } = patienceOf(resource, abandonAfterMs);
    if (isOver || (await source.namespaceIsEnding(namespaceOf(resource)))) {
      const story = { type: 'Warning', reason: 'Abandoned', message: `${USER_LEFT}: ${message}` } as const;
      return finishDeletion(resource, story, this.#options);
    }
    await conclude(resource, { ready: 'False', reason, message });
    return { requeueAfterMs: Math.min(lookAgainMs, leftMs) };
  }
}
