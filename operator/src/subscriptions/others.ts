/**
 * What a subscription's standing has to know of all others (handover.ts). Who has begun to take over from whom is kept as they
 * change: it is asked of every one of them, at each reconcile and at each survey.
 */
import type { SubscriptionResource } from '../resources.ts';
import type { Collection } from '../source.ts';
import { keyOfBound } from './claims.ts';
import { takenFrom } from './handover.ts';
import type { Others } from './handover.ts';

type Subscriptions = Pick<Collection<SubscriptionResource>, 'get' | 'list' | 'onChange'>;

const known = new WeakMap<Subscriptions, Others>();

export function othersIn(subscriptions: Subscriptions): Others {
  const others = known.get(subscriptions) ?? new KnownOthers(subscriptions);
  known.set(subscriptions, others);
  return others;
}

class KnownOthers implements Others {
  readonly #subscriptions: Subscriptions;
  /** From whom, by who takes over. */
  readonly #from = new Map<string, string>();
  readonly #takers = new Map<string, Set<string>>();

  constructor(subscriptions: Subscriptions) {
    this.#subscriptions = subscriptions;
    for (const resource of subscriptions.list()) this.#look(keyOfBound(resource));
    subscriptions.onChange((key) => this.#look(key));
  }

  get(key: string): SubscriptionResource | undefined {
    return this.#subscriptions.get(key);
  }

  takersOf(key: string): SubscriptionResource[] {
    return [...(this.#takers.get(key) ?? [])].flatMap((taker) => this.get(taker) ?? []);
  }

  #look(key: string): void {
    const resource = this.get(key);
    const from = resource === undefined ? undefined : takenFrom(resource)?.key;
    const before = this.#from.get(key);
    if (from === before) return;
    if (before !== undefined) this.#forget(key, before);
    if (from === undefined) return;
    this.#from.set(key, from);
    this.#takers.set(from, (this.#takers.get(from) ?? new Set()).add(key));
  }

  #forget(key: string, from: string): void {
    this.#from.delete(key);
    const takers = this.#takers.get(from);
    takers?.delete(key);
    if (takers?.size === 0) this.#takers.delete(from);
  }
}
