/** What is told of an EventBroker: its status, and each change of it once, as an event and in the log. */
import type { Log } from '@warren/controller';
import { subscriptionsIn } from '@warren/topology';
import { allows } from '../resources.ts';
import type { BrokerResource } from '../resources.ts';
import type { ResourceSource } from '../source.ts';
import { credentialsConditions, credentialsStory } from '../users/conditions.ts';
import { brokerStatusOf, brokerStoriesOf } from './broker-status.ts';
import type { BrokerConnection } from './connection.ts';
import type { DriftEvents } from './drift-events.ts';

/** What is known of a broker. */
export interface ToldBroker {
  /** As it was last seen, for when it is gone. */
  resource: BrokerResource;
  connection?: BrokerConnection;
  down?: { reason: string; message: string };
  /** Undefined while nobody could tell. */
  alarms?: readonly string[];
  events?: Pick<DriftEvents, 'watching'>;
  /** It does not allow our namespace: others tell of it, and two would write its status in turns. */
  isBarred?: boolean;
  /** Status writes come one after the other, so that no story is told twice. */
  telling: Promise<void>;
}

export interface BrokerVoiceOptions {
  source: Pick<ResourceSource, 'namespace' | 'brokers' | 'writeBrokerStatus' | 'tell'>;
  log: Log;
  /** The subscriptions that name a broker, as `namespace/name`. */
  usersOf: (broker: string) => readonly string[];
}

export class BrokerVoice {
  readonly #options: BrokerVoiceOptions;

  constructor(options: BrokerVoiceOptions) {
    this.#options = options;
  }

  /** One condition and one event for a change, however often it is seen. */
  tell(broker: ToldBroker): Promise<void> {
    const telling = broker.telling.then(() => this.#say(broker));
    broker.telling = telling.catch(() => undefined);
    return telling;
  }

  /** It was deleted. Nothing holds that up; who still uses it is told. */
  tellOfUsers({ resource }: ToldBroker): void {
    const { source, log, usersOf } = this.#options;
    const { name } = resource.metadata;
    const users = usersOf(name);
    if (users.length === 0) return;
    const shown = users.slice(0, 5).join(', ');
    const message =
      `deleted while ${users.length === 1 ? 'a subscription uses it' : `${users.length} subscriptions use it`} ` +
      `(${shown}${users.length > 5 ? ', …' : ''}): their queues and what they hold stay, consumers go on, and nobody looks after them until it is there again`;
    log.warn({ broker: name, reason: 'DeletedInUse' }, message);
    source.tell(resource, { type: 'Warning', reason: 'DeletedInUse', action: 'Delete', message });
  }

  async #say(broker: ToldBroker): Promise<void> {
    const { source, log } = this.#options;
    const { down, connection, alarms, events, isBarred } = broker;
    const resource = source.brokers.get(broker.resource.metadata.name);
    if (resource === undefined || isBarred === true) return;
    // Edited since it was asked.
    if (source.namespace !== undefined && !allows(resource, source.namespace)) return;
    // Neither up nor down: it is being connected to anew.
    if (connection === undefined && down === undefined) return;
    const { name } = resource.metadata;
    const status = brokerStatusOf(
      resource,
      {
        ...(down === undefined ? {} : { down }),
        ...(connection === undefined ? {} : { connection }),
        ...(alarms === undefined ? {} : { alarms }),
        ...(events === undefined ? {} : { watching: events.watching }),
        ...this.#count(name, connection),
        further: connection === undefined ? [] : credentialsConditions(connection),
      },
      new Date().toISOString(),
    );
    const credentials = credentialsStory(resource.status?.conditions, status.conditions);
    const stories = [
      ...brokerStoriesOf(resource.status, status),
      ...(credentials === undefined ? [] : [credentials]),
    ];
    await source.writeBrokerStatus(resource, status);
    for (const story of stories) {
      const fields = { broker: name, reason: story.reason };
      if (story.type === 'Normal') log.info(fields, `the broker: ${story.message}`);
      else log.warn(fields, `the broker: ${story.message}`);
      source.tell(resource, story);
    }
  }

  /** Several operators with a namespace each may share a broker: then what is on it counts, which is the same for all. */
  #count(name: string, connection: BrokerConnection | undefined): { subscriptions?: number } {
    if (this.#options.source.namespace === undefined)
      return { subscriptions: this.#options.usersOf(name).length };
    const { known } = connection ?? {};
    return known === undefined ? {} : { subscriptions: subscriptionsIn(known).size };
  }
}
