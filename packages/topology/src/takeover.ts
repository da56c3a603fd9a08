/**
 * A subscription takes over from another one: a move between namespaces, or a new name. Pure, and decided anew from what is
 * found after each reading, as a migration is (migration.ts); its points and temporary queues are the old queue's, so that an
 * old subscription that is not released any more takes everything back as it would after its own migration.
 *
 *   Preparing  the new queues, without their events. Events ─▶ <old>.points ─▶ old end, beside its bindings, which then go
 *   Waiting    as long as the broker delays a retry there for long, the points let everything through to the old end
 *   Draining   points ─╳ old end: everything new arrives aside, with what only the new one takes. Old queues ─▶ <old>.waited,
 *              until all are empty and go
 *   Returning  waited ─▶ new end, then arriving ─▶ new end; points ─▶ new end: that one binding brings everything new
 *   Finishing  the new end's own bindings, then the points go; the rest of arriving, and the dead letters, follow
 *
 * An end is a queue, or the exchange that leads to partitions (takeover-ends.ts); any can be taken over by any. At every moment
 * an event is routed to exactly one of the queues, and what waited stays ahead of what is new. Where both keep an order, the old
 * one's consumers pause while it is emptied, and from Returning on, which `<old>.passing` is the sign of, there is no way back:
 * what the new one's consumers have begun with must not come after what is newer.
 */
import { plain } from './bindings.ts';
import { changesBetween } from './difference.ts';
import type { Inventory } from './inventory.ts';
import { boundTo, deliveriesOf, foundDeliveries, waitsBeside } from './layout.ts';
import {
  bind,
  catchAll,
  declaration,
  declareExchange,
  delaysIn,
  fanout,
  moving,
  redirected,
  sameAs,
  unbind,
} from './migration-steps.ts';
import { keepsOrder } from './queue-types.ts';
import type {
  Migration,
  MigrationOptions,
  MigrationPhase,
  MigrationStep,
  MoveStep,
} from './migration-steps.ts';
import type { Entrance } from './layout.ts';
import type { Names } from './names.ts';
import type { Binding, Membership, WantedTopology } from './objects.ts';
import { queueOfPartition } from './partitions.ts';
import { isMember } from './policies.ts';
import type { ObjectStep } from './steps.ts';
import { drainedTogether, entrancesOf, newEndOf, takesItsEvents } from './takeover-ends.ts';
import type { NewEnd } from './takeover-ends.ts';
import { temporaryNamesOf } from './temporary.ts';

/** Undefined when nothing of the old subscription is left. @param wanted of the new subscription */
export function takeoverOf(
  old: Names,
  wanted: WantedTopology,
  found: Inventory,
  options: MigrationOptions,
): Migration | undefined {
  return new Takeover(old, wanted, found, options).next();
}

class Takeover {
  readonly #old: Names;
  readonly #wanted: WantedTopology;
  readonly #found: Inventory;
  readonly #options: MigrationOptions;
  readonly #temporary: ReturnType<typeof temporaryNamesOf>;
  /** Of the old one, as far as they are there: one, but in the middle of a change of its layout. */
  readonly #entrances: Entrance[];
  readonly #new: NewEnd;
  readonly #throughNew: Binding;
  /** Old and new keep an order. */
  readonly #isOrdered: boolean;

  constructor(old: Names, wanted: WantedTopology, found: Inventory, options: MigrationOptions) {
    this.#old = old;
    this.#wanted = wanted;
    this.#found = found;
    this.#options = options;
    this.#temporary = temporaryNamesOf(old.queue);
    this.#entrances = entrancesOf(old, found);
    this.#new = newEndOf(wanted, found);
    this.#throughNew = catchAll(this.#temporary.points, this.#new.entrance);
    this.#isOrdered = this.#new.isOrdered && foundDeliveries(old, found).some(keepsOrder);
  }

  next(): Migration | undefined {
    const { exchanges } = this.#found;
    const { points, aside, arriving, waited } = this.#temporary;
    const direct = this.#entrances.flatMap((each) => this.#directAt(each));
    const through = this.#entrances
      .map((each) => this.#throughOld(each))
      .filter((each) => this.#isBound(each));
    if (direct.length > 0 || through.length > 0) return this.#prepare(direct, through);
    if (drainedTogether(this.#old, this.#found).length > 0) return this.#drain();
    const isAside =
      [points, aside].some((name) => exchanges.has(name)) || this.#isThere(arriving) || this.#isThere(waited);
    if (isAside && !this.#isTaking()) return this.#return();
    return this.#finish();
  }

  #prepare(direct: readonly Binding[], through: readonly Binding[]): Migration {
    const { points, arriving } = this.#temporary;
    const atPoints = this.#found.exchangeBindings.get(points) ?? [];
    const takenOver = direct.map((each) => redirected(each, points, 'exchange'));
    // Into an exchange without partitions nothing is to be led.
    const hasQueues = foundDeliveries(this.#old, this.#found).length > 0;
    const opening = this.#entrances
      .filter((each) => hasQueues && through.length === 0 && this.#directAt(each).length > 0)
      .slice(0, 1)
      .map((each) => this.#throughOld(each));
    const further = this.#further(takenOver);
    const opened = [
      ...this.#newObjects(),
      ...this.#points(),
      ...opening.map(bind),
      ...takenOver.filter((each) => !atPoints.some(sameAs(each))).map(bind),
      ...direct.map(unbind),
    ];
    // What only the new one takes cannot go to the old one, and is not to be missed.
    const waitsFor =
      further.length > 0 ? undefined : delaysIn(foundDeliveries(this.#old, this.#found), this.#options);
    if (waitsFor !== undefined)
      return {
        ...this.#migration('Waiting', [arriving], opened),
        consumers: 'unchanged',
        waitsFor,
      };
    return this.#migration(
      'Preparing',
      [arriving],
      [...opened, ...[...through, ...opening].map(unbind), ...further],
    );
  }

  #drain(): Migration {
    const { waited, arriving } = this.#temporary;
    const waits = waitsBeside(this.#old, this.#found);
    const deliveries = foundDeliveries(this.#old, this.#found).map(({ name }) => name);
    return this.#migration(
      'Draining',
      [arriving, waited],
      [
        ...this.#newObjects(),
        ...this.#points(),
        ...this.#further(),
        ...this.#missing(waited),
        ...waits.map((wait) => this.#move(wait, this.#waitQueueFor(wait) ?? waited)),
        ...deliveries.map((name) =>
          moving(name, waited, this.#found, { attended: this.#isOrdered ? 'skip' : 'move' }),
        ),
        // The queue first: what still goes from a wait queue to it would be kept there until there is a queue again.
        ...(this.#options.drained ? [...deliveries, ...waits].map(deleteEmpty) : []),
        ...(this.#options.drained ? this.#oldKeys().map(deleteExchange) : []),
      ],
    );
  }

  #return(): Migration {
    const { waited, points, arriving, passing } = this.#temporary;
    const { entrance, isOrdered } = this.#new;
    const hasPoints = this.#found.exchanges.has(points);
    return this.#migration('Returning', hasPoints ? [arriving] : [], [
      ...this.#newObjects(),
      ...this.#oldKeys().map(deleteExchange),
      ...(hasPoints ? [...this.#points(), ...this.#further()] : []),
      ...(isOrdered && !this.#found.exchanges.has(passing) ? [declareExchange(fanout(passing, {}))] : []),
      ...(this.#isThere(waited) ? [this.#move(waited, entrance, 'empty', isOrdered)] : []),
      ...(isOrdered && this.#isThere(arriving)
        ? [this.#move(arriving, entrance, 'caughtUp', isOrdered)]
        : []),
      ...(hasPoints ? [bind(this.#throughNew)] : this.#ownBindings()),
    ]);
  }

  #finish(): Migration | undefined {
    const { points, aside, arriving, waited, passing } = this.#temporary;
    const { exchanges, policyIndex } = this.#found;
    const { queue, deadLetterQueue } = this.#old;
    const signs = [points, aside, passing, ...this.#oldKeys()].filter((name) => exchanges.has(name));
    const isOpen = signs.length > 0;
    const partitions = [...policyIndex.byQueue.keys()].filter((name) => queueOfPartition(name) === queue);
    const back = [waited, arriving].filter((name) => this.#isThere(name));
    const left = [queue, ...partitions, deadLetterQueue, arriving, waited].filter(
      (name) => !this.#isThere(name) && policyIndex.byQueue.has(name),
    );
    const hasDead = this.#isThere(deadLetterQueue);
    if (!isOpen && back.length === 0 && !hasDead && left.length === 0) return undefined;
    const target = this.#wanted.names;
    return this.#migration(
      'Finishing',
      [],
      [
        ...this.#newObjects(),
        ...(exchanges.has(points) && !this.#isThrough() ? [bind(this.#throughNew)] : []),
        ...(isOpen || back.length > 0 ? this.#ownBindings() : []),
        ...signs.map(deleteExchange),
        ...back.map((name) => this.#move(name, this.#new.entrance)),
        ...back.filter((name) => this.#isEmpty(name)).map(deleteEmpty),
        ...(hasDead ? [...this.#foreignDead(), this.#move(deadLetterQueue, target.deadLetterQueue)] : []),
        ...(hasDead && this.#isEmpty(deadLetterQueue) ? [deleteEmpty(deadLetterQueue)] : []),
      ],
      left,
    );
  }

  #migration(
    phase: MigrationPhase,
    temporary: readonly string[],
    steps: readonly MigrationStep[],
    left: readonly string[] = [],
  ): Migration {
    const { capabilities } = this.#options;
    const settings = { 'delivery-limit': capabilities.deliveryLimitByDefault ? -1 : 1_000_000 };
    const memberships: Membership[] = [
      ...this.#changes().memberships,
      ...temporary
        .filter((queue) => !isMember(this.#found.policyIndex, queue, settings))
        .map((queue) => ({ queue, settings })),
      ...left.map((queue) => ({ queue, settings: undefined })),
    ];
    return {
      queue: this.#old.queue,
      consumers: this.#isOrdered ? 'paused' : 'unchanged',
      sources: [
        ...foundDeliveries(this.#old, this.#found).map(({ name }) => name),
        ...[this.#temporary.waited, this.#temporary.arriving].filter((name) => this.#isThere(name)),
      ],
      changes: [{ property: 'name', from: this.#old.queue, to: this.#wanted.names.queue }],
      phase,
      memberships,
      steps: [...steps],
    };
  }

  /** What the new subscription lacks, but for its events: they come through the points. */
  #newObjects(): ObjectStep[] {
    const { names } = this.#wanted;
    // An edit of the layout in the middle is made when the takeover is over.
    const layout = this.#new.isAsWanted ? [] : [names.keys, ...deliveriesOf(names)];
    return this.#changes().steps.filter(
      (step) =>
        (step.step === 'declareExchange' && !layout.includes(step.exchange.name)) ||
        (step.step === 'declareQueue' && !layout.includes(step.queue.name)) ||
        (step.step === 'bind' && ![names.queue, names.keys, ...layout].includes(step.binding.destination)),
    );
  }

  #changes() {
    return changesBetween(this.#wanted, this.#found);
  }

  /** The new end's own bindings, and those that other people made to the old one. */
  #ownBindings(): ObjectStep[] {
    const { points } = this.#temporary;
    const { exchanges } = this.#wanted.names;
    const { name, kind } = this.#new.entrance;
    const there = boundTo(this.#found, this.#new.entrance);
    const foreign = (this.#found.exchangeBindings.get(points) ?? [])
      .filter(({ source }) => source !== exchanges.events)
      .map((each) => redirected(each, name, kind));
    return [...this.#eventsAt(this.#new.entrance), ...foreign]
      .filter((each) => !there.some(sameAs(each)))
      .map(bind);
  }

  /** What the new one takes and the old one did not, as soon as the points let nothing through to the old end. */
  #further(taken: readonly Binding[] = []): ObjectStep[] {
    const { points } = this.#temporary;
    const there = [...(this.#found.exchangeBindings.get(points) ?? []), ...taken];
    return this.#eventsAt({ name: points, kind: 'exchange' })
      .filter((each) => !there.some(sameAs(each)))
      .map(bind);
  }

  /** The new one's bindings to its events. */
  #eventsAt({ name, kind }: Entrance): Binding[] {
    const { bindings, names } = this.#wanted;
    return bindings
      .filter(({ source }) => source === names.exchanges.events)
      .map((each) => redirected(each, name, kind));
  }

  #foreignDead(): ObjectStep[] {
    const { deadLetterQueue, exchanges } = this.#wanted.names;
    const there = this.#bindingsOf(deadLetterQueue);
    return this.#bindingsOf(this.#old.deadLetterQueue)
      .filter(({ source }) => source !== exchanges.failedEvents)
      .map((each) => redirected(each, deadLetterQueue, 'queue'))
      .filter((each) => !there.some(sameAs(each)))
      .map(bind);
  }

  /** The points, such that what they do not let through arrives aside. */
  #points(): ObjectStep[] {
    const { points, aside, arriving } = this.#temporary;
    const { exchanges } = this.#found;
    const toArriving = catchAll(aside, arriving);
    return [
      ...(exchanges.has(aside) ? [] : [declareExchange(fanout(aside, {}))]),
      ...this.#missing(arriving),
      ...(this.#bindingsOf(arriving).some(sameAs(toArriving)) ? [] : [bind(toArriving)]),
      ...(exchanges.has(points) ? [] : [declareExchange(fanout(points, { 'alternate-exchange': aside }))]),
    ];
  }

  /** As safe as the queue itself, and for one mover at a time. */
  #missing(name: string): ObjectStep[] {
    if (this.#isThere(name)) return [];
    const [first] = deliveriesOf(this.#wanted.names);
    const main = this.#wanted.queues.find((each) => each.name === first);
    const safety = Object.entries(main?.arguments ?? {}).filter(([key]) =>
      // What is dropped or dead-lettered from it would be so under the new name.
      [
        'x-dead-letter-exchange',
        'x-dead-letter-routing-key',
        'x-dead-letter-strategy',
        'x-overflow',
      ].includes(key),
    );
    const args = {
      'x-queue-type': 'quorum',
      ...Object.fromEntries(safety),
      'x-single-active-consumer': true,
    };
    return [declaration({ name, durable: true, autoDelete: false, arguments: args })];
  }

  #waitQueueFor(wait: string): string | undefined {
    const { queue, waitQueues } = this.#wanted.names;
    const same = `${queue}${wait.slice(this.#old.queue.length)}`;
    return waitQueues.includes(same) ? same : undefined;
  }

  #throughOld(entrance: Entrance): Binding {
    return catchAll(this.#temporary.points, entrance);
  }

  #directAt(entrance: Entrance): Binding[] {
    const isThrough = sameAs(this.#throughOld(entrance));
    return boundTo(this.#found, entrance)
      .map(plain)
      .filter((each) => !isThrough(each));
  }

  /** What led to the old partitions. */
  #oldKeys(): string[] {
    return this.#entrances.filter(({ kind }) => kind === 'exchange').map(({ name }) => name);
  }

  /** The new end takes its events itself, or all that comes through the points. */
  #isTaking(): boolean {
    const { names } = this.#wanted;
    return this.#isThrough() || takesItsEvents(names, names.exchanges, this.#found);
  }

  #isThrough(): boolean {
    return this.#isBound(this.#throughNew);
  }

  #isBound(binding: Binding): boolean {
    const { destination: name, destinationType: kind } = binding;
    return boundTo(this.#found, { name, kind }).some(sameAs(binding));
  }

  #isThere(queue: string): boolean {
    return this.#found.queues.has(queue);
  }

  #isEmpty(queue: string): boolean {
    return this.#found.queues.get(queue)?.messages === 0 && this.#options.settled(queue);
  }

  #bindingsOf(queue: string): readonly Binding[] {
    return (this.#found.bindings.get(queue) ?? []).map(plain);
  }

  #move(
    from: string,
    to: Entrance | string,
    until: MoveStep['until'] = 'empty',
    isOrdered = false,
  ): MoveStep {
    return moving(from, to, this.#found, { until, attended: isOrdered ? 'wait' : 'move' });
  }
}

function deleteEmpty(queue: string): ObjectStep {
  return { step: 'deleteQueue', queue, onlyIfEmpty: true };
}

function deleteExchange(exchange: string): ObjectStep {
  return { step: 'deleteExchange', exchange };
}
