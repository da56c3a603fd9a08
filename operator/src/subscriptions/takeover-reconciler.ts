/**
 * The new one's part of a takeover in its reconcile: a pass each time, until nothing of the old one is left, or everything is
 * given back. It works on the objects of two subscriptions, so it takes the old one's turn meanwhile.
 */
import type { ReconcileContext, Result } from '@warren/controller';
import type { WantedTopology } from '@warren/topology';
import type { BrokerConnection } from '../brokers/connection.ts';
import type { Migrator, Pass } from '../migration/migrator.ts';
import { Takeovers, takeoverBegins, takeoverEnds, takeoverProgress } from '../migration/takeovers.ts';
import type { SubscriptionResource } from '../resources.ts';
import type { ResourceSource, StoryEvent } from '../source.ts';
import { isDeleting, keyOfBound, namespaceOf } from './claims.ts';
import type { Partner, Standing } from './handover.ts';
import type { Verdict } from './status.ts';
import type { Turns } from './turns.ts';

interface About {
  connection: BrokerConnection;
  wanted: WantedTopology;
}

export interface TakeoverReconcilerOptions {
  source: Pick<ResourceSource, 'subscriptions' | 'writeSubscriptionStatus'>;
  migrator: Migrator;
  turns: Turns;
  bind: (
    resource: SubscriptionResource,
    connection: BrokerConnection,
    context: Pick<ReconcileContext, 'signal'>,
  ) => Promise<string>;
  /** Tells its consumers to leave its queues alone. */
  pause: (
    resource: SubscriptionResource,
    connection: BrokerConnection,
    context: Pick<ReconcileContext, 'signal'>,
  ) => Promise<unknown>;
  conclude: (
    resource: SubscriptionResource,
    verdict: Verdict,
    about: About & { binding?: string },
  ) => Promise<void>;
  /** What the end of its namespace would wait for is left on the broker: undefined where it need not be. */
  leaveStuck: (resource: SubscriptionResource, what: string, moved: number) => Promise<Result | undefined>;
  tell: (resource: SubscriptionResource, story: StoryEvent) => void;
}

/** How soon to look whether the other one consents: milliseconds. */
export const CONSENT_AGAIN_MS = 2_000;
const TURN_AGAIN_MS = 200;

export class TakeoverReconciler {
  readonly takeovers: Takeovers;
  readonly #options: TakeoverReconcilerOptions;

  constructor(options: TakeoverReconcilerOptions) {
    this.#options = options;
    this.takeovers = new Takeovers(options.migrator);
  }

  /** Undefined when it has to do with no takeover, or no more. */
  async step(
    resource: SubscriptionResource,
    standing: Standing,
    about: About,
    { signal }: Pick<ReconcileContext, 'signal'>,
  ): Promise<Result | undefined> {
    const old = oldOf(standing);
    if (old === undefined) return undefined;
    using turn = this.#options.turns.enter(old.key);
    if (turn === undefined) return { requeueAfterMs: TURN_AGAIN_MS };
    return standing.standing === 'pending' && !(await this.#isFinal(resource, old, about, signal))
      ? await this.#giveBack(resource, old, standing.message, about, signal)
      : await this.#takeOver(resource, old, about, signal);
  }

  async #isFinal(
    resource: SubscriptionResource,
    old: Partner,
    { connection }: About,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { found } = await connection.inventory({ maxAgeMs: 0, signal });
    const { name } = resource.metadata;
    return this.takeovers.isFinal(old, { namespace: namespaceOf(resource), name }, found, connection);
  }

  async #takeOver(
    resource: SubscriptionResource,
    old: Partner,
    about: About,
    signal: AbortSignal,
  ): Promise<Result> {
    const { source, pause, tell } = this.#options;
    const { connection, wanted } = about;
    const pass = await this.takeovers.pass(old, wanted, connection, signal, {
      tell: async (consumers) => {
        const other = source.subscriptions.get(old.key);
        // Its binding is as it was where it is called off: by the old one itself.
        if (consumers === 'paused' && other !== undefined && !isDeleting(other))
          await pause(other, connection, { signal });
      },
    });
    if (pass === undefined) {
      const moved = resource.status?.migration?.moved ?? 0;
      await this.#end(resource, old.key);
      tell(resource, takeoverEnds(old.key, keyOfBound(resource), moved));
      return { requeueAfterMs: 1 };
    }
    const migration = takeoverProgress(resource, old, pass);
    if (resource.status?.migration?.queue !== migration.queue) tell(resource, takeoverBegins(migration));
    return await this.#conclude(
      resource,
      { verdict: 'takingOver', migration, ...because(pass) },
      about,
      pass,
      signal,
    );
  }

  async #giveBack(
    resource: SubscriptionResource,
    old: Partner,
    why: string,
    about: About,
    signal: AbortSignal,
  ): Promise<Result> {
    const { connection, wanted } = about;
    const pass = await this.takeovers.giveBack(old, wanted, connection, signal);
    if (pass === undefined) {
      await this.#end(resource);
      return { requeueAfterMs: 1 };
    }
    const migration = takeoverProgress(resource, old, pass, 'GivingBack');
    const failure = pass.failure === undefined ? `called off: ${why}` : `called off: ${why}; ${pass.failure}`;
    return await this.#conclude(resource, { verdict: 'takingOver', migration, failure }, about, pass, signal);
  }

  async #conclude(
    resource: SubscriptionResource,
    verdict: Extract<Verdict, { verdict: 'takingOver' }>,
    about: About,
    { moved, againMs }: Pass,
    signal: AbortSignal,
  ): Promise<Result> {
    const { bind, conclude, leaveStuck } = this.#options;
    // The queue that the binding names is there from the first pass on.
    const binding = isDeleting(resource) ? undefined : await bind(resource, about.connection, { signal });
    await conclude(resource, verdict, { ...about, ...(binding === undefined ? {} : { binding }) });
    const what = `the takeover from ${verdict.migration.from} is not over`;
    const left = isDeleting(resource) ? await leaveStuck(resource, what, moved) : undefined;
    return left ?? { requeueAfterMs: againMs };
  }

  /** @param from of whom nothing is left */
  async #end(resource: SubscriptionResource, from?: string): Promise<void> {
    const { migration: _, ...status } = resource.status ?? {};
    await this.#options.source.writeSubscriptionStatus(resource, {
      ...status,
      ...(from === undefined ? {} : { claimedFrom: from }),
    });
  }
}

function oldOf(standing: Standing): Partner | undefined {
  if (standing.standing === 'takingOver') return standing.old;
  return standing.standing === 'pending' ? standing.begun : undefined;
}

function because({ failure }: Pass): { failure?: string } {
  return failure === undefined ? {} : { failure };
}
