/**
 * How a subscription's state reaches its owner: as a status, as events where it says something new, in the log, and as
 * Kubernetes events. Nothing is decided here; what is not new is not said again.
 */
import { namesOf, retryModeOf, routingKeysOf } from '@warren/topology';
import type { WantedTopology } from '@warren/topology';
import type { Log } from '@warren/controller';
import type { BrokerConnection } from '../brokers/connection.ts';
import type { BrokerState } from '../brokers/registry.ts';
import { describeUnavailable } from '../brokers/broker-status.ts';
import type { SubscriptionResource } from '../resources.ts';
import type { ScalingState } from '../scaling/state.ts';
import { withScaling } from '../scaling/state.ts';
import type { ResourceSource, StoryEvent } from '../source.ts';
import { refusalOf, tellOf } from '../telling.ts';
import { isDeleting, isUntouched, keyOfBound, namespaceOf, newestOf } from './claims.ts';
import type { Claiming } from './claims.ts';
import { countsOf } from './counts.ts';
import { effectiveOf } from './effective.ts';
import { offerOf, standingOf } from './handover.ts';
import { othersIn } from './others.ts';
import { isSaidInSync, statusOf } from './status.ts';
import type { Findings, Verdict } from './status.ts';
import { storyOf } from './story.ts';

export interface VoiceOptions {
  source: ResourceSource;
  log: Log;
  /** What scaling says of a subscription. */
  scalingOf?: (resource: SubscriptionResource) => ScalingState | undefined;
}

interface Claims {
  claiming: Claiming;
}

export class Voice {
  readonly #options: VoiceOptions & Claims;

  constructor(options: VoiceOptions & Claims) {
    this.#options = options;
  }

  /** @param done in words */
  tellOfSteps(resource: SubscriptionResource, done: readonly string[]): void {
    if (done.length === 0) return;
    this.tell(resource, { type: 'Normal', reason: 'Applied', action: 'Apply', message: done.join('; ') });
  }

  /** Nobody can be asked now. What was in sync stays as it was last seen; who waits for something is told for what. */
  async wait(resource: SubscriptionResource | undefined, broker: BrokerState): Promise<void> {
    if (resource === undefined || broker.state !== 'down') return;
    if (isSaidInSync(resource)) return this.sayScaling(resource);
    const message = describeUnavailable(resource, broker.message);
    await this.conclude(resource, { verdict: 'waiting', reason: 'BrokerUnavailable', message });
  }

  /** Something was refused that trying again alone will not mend. */
  async fail(resource: SubscriptionResource | undefined, error: unknown): Promise<void> {
    const refusal = refusalOf(error);
    if (resource === undefined || refusal === undefined) return;
    await this.conclude(resource, { verdict: 'failed', ...refusal });
  }

  /** Whatever becomes of its queues, an autoscaler and its user are told what is known. */
  async sayScaling(resource: SubscriptionResource): Promise<void> {
    const { source, scalingOf } = this.#options;
    if (isUntouched(resource)) return;
    const status = withScaling(resource, scalingOf?.(resource), new Date().toISOString());
    if (status !== undefined) await source.writeSubscriptionStatus(resource, status);
  }

  /** The broker is up, and slow or failing now and then: it is tried again, and what was in sync is not called anything else. */
  async failing(resource: SubscriptionResource | undefined, error: unknown): Promise<void> {
    if (resource === undefined) return;
    if (isSaidInSync(resource)) return this.sayScaling(resource);
    const why = error instanceof Error ? error.message : String(error);
    const message = `EventBroker "${resource.spec.brokerRef.name}" fails now and then, it is tried again: ${why}`;
    await this.conclude(resource, { verdict: 'waiting', reason: 'BrokerUnavailable', message });
  }

  /** What a reconcile came to, with what is known of the queues. */
  async conclude(
    resource: SubscriptionResource,
    verdict: Verdict,
    about: { connection?: BrokerConnection; wanted?: WantedTopology; binding?: string } = {},
  ): Promise<void> {
    const { source } = this.#options;
    const { connection, binding } = about;
    const counts = connection === undefined ? undefined : countsOf(resource, connection);
    await this.say(resource, {
      verdict,
      names: namesOf(namespaceOf(resource), resource.metadata.name),
      ...(connection === undefined ? {} : { retryMode: retryModeOf(resource.spec, connection.capabilities) }),
      ...(counts === undefined ? {} : { counts }),
      ...(binding === undefined ? {} : { binding }),
      ...(connection === undefined || verdict.verdict !== 'inSync'
        ? {}
        : await inForceAt(resource, connection)),
      takes: routingKeysOf(resource.spec.events).join(', '),
      more: offerOf(standingOf(resource, othersIn(source.subscriptions))),
    });
  }

  /** Writes the status, and tells of it where it says something new. */
  async say(said: SubscriptionResource, findings: Findings): Promise<void> {
    const resource = await this.#beforeItsStatus(said);
    if (resource === undefined) return;
    const scaling = this.#options.scalingOf?.(resource);
    const status = statusOf(resource, { ...findings, scaling }, new Date().toISOString());
    const story = storyOf(resource.status, status);
    await this.#options.source.writeSubscriptionStatus(resource, status);
    this.#options.claiming.forget(keyOfBound(resource));
    if (story !== undefined) this.tell(resource, story);
  }

  /**
   * With the finalizer and a status it would have claimed its names: who has not may not have both. Undefined for one that is
   * being deleted, of which nothing is to be said then.
   */
  async #beforeItsStatus(resource: SubscriptionResource): Promise<SubscriptionResource | undefined> {
    const { source, claiming } = this.#options;
    // What was said earlier in the same reconcile is not in the resource that it began with.
    const now = newestOf(source.subscriptions, resource);
    if (!isUntouched(now) || claiming.has(now)) return resource;
    if (isDeleting(now)) return undefined;
    await source.removeFinalizer(now);
    return source.subscriptions.get(keyOfBound(resource));
  }

  tell(resource: SubscriptionResource, story: StoryEvent): void {
    tellOf(resource, story, this.#options);
  }
}

async function inForceAt(
  resource: SubscriptionResource,
  connection: BrokerConnection,
): Promise<Pick<Findings, 'effective'>> {
  const { found } = await connection.inventory({ maxAgeMs: Infinity });
  const effective = effectiveOf(resource, found);
  return effective === undefined ? {} : { effective };
}
