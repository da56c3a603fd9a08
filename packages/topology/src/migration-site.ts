/** Where one queue is on its way through a migration (migration.ts tells the way), and the steps that are due. */
import type { BrokerCapabilities } from './capabilities.ts';
import type { Inventory } from './inventory.ts';
import {
  bind,
  catchAll,
  declaration,
  declareExchange,
  emptying,
  fanout,
  moving,
  redirected,
  sameAs,
  temporaryNamesOf,
  unbind,
} from './migration-steps.ts';
import type { Migration, MigrationOptions, MoveStep, TemporaryNames } from './migration-steps.ts';
import type { Binding, Membership, Queue, Settings } from './objects.ts';
import { isMember } from './policies.ts';
import type { ObjectStep } from './steps.ts';

export class MigrationSite {
  readonly #queue: Queue;
  readonly #names: TemporaryNames;
  readonly #wanted: readonly Binding[];
  readonly #found: Inventory;
  readonly #options: MigrationOptions;
  /** The points let everything through to the queue. */
  readonly #through: Binding;

  constructor(queue: Queue, wanted: readonly Binding[], found: Inventory, options: MigrationOptions) {
    this.#queue = queue;
    this.#names = temporaryNamesOf(queue.name);
    this.#wanted = wanted;
    this.#found = found;
    this.#options = options;
    this.#through = catchAll(this.#names.points, queue.name);
  }

  /** Something of a migration is there. */
  get isOpen(): boolean {
    const { points, aside, arriving, waited } = this.#names;
    const { exchanges, queues, policyIndex } = this.#found;
    return (
      [points, aside].some((name) => exchanges.has(name)) ||
      [arriving, waited].some((name) => queues.has(name) || policyIndex.byQueue.has(name))
    );
  }

  /** The queue is not as wanted. */
  leave(): Omit<Migration, 'changes'> {
    const { name } = this.#queue;
    const { waited } = this.#names;
    const direct = this.#direct();
    const isThrough = this.#isThrough();
    const preparing = direct.length > 0 || isThrough;
    const takeOver =
      direct.length === 0
        ? [...this.#points(), ...this.#takenOver([])]
        : [
            ...this.#points(),
            ...(isThrough ? [] : [bind(this.#through)]),
            ...this.#takenOver(direct),
            ...direct.map(unbind),
          ];
    return {
      queue: name,
      phase: preparing ? 'Preparing' : 'Draining',
      memberships: this.#memberships([this.#names.arriving, waited]),
      steps: [
        ...takeOver,
        ...(preparing ? [unbind(this.#through)] : []),
        ...this.#missing([this.#temporary(waited)]),
        ...(preparing
          ? [this.#move(name, waited)]
          : emptying(name, waited, this.#found, this.#options.settled, this.#queue)),
      ],
    };
  }

  /** The queue was deleted. */
  recreate(): Omit<Migration, 'changes'> {
    return {
      queue: this.#queue.name,
      phase: 'Recreating',
      memberships: this.#memberships([this.#names.arriving]),
      steps: [...this.#points(), ...this.#takenOver([]), declaration(this.#queue)],
    };
  }

  /** The queue is as wanted, whether it was made anew or the spec was edited back. */
  comeBack(): Omit<Migration, 'changes'> {
    const { name } = this.#queue;
    const { points, aside, arriving, waited } = this.#names;
    const { exchanges } = this.#found;
    const direct = this.#direct();
    const back = [waited, arriving].filter((each) => this.#found.queues.has(each));
    const isBound = (binding: Binding) => direct.some(sameAs(binding));
    if (!this.#isThrough() && direct.length === 0 && this.#wanted.length > 0) {
      // Whoever has one consumer at a time has an order to keep: no new message overtakes those on their way.
      const strict = this.#queue.arguments['x-single-active-consumer'] === true;
      return {
        queue: name,
        phase: 'Returning',
        memberships: this.#memberships([arriving]),
        steps: [
          ...this.#points(),
          ...this.#takenOver([]),
          ...(back.includes(waited) ? [this.#move(waited, name)] : []),
          ...(strict ? [this.#move(arriving, name, 'caughtUp')] : []),
          bind(this.#through),
        ],
      };
    }
    const isEmpty = back.every(
      (each) => this.#options.settled(each) && this.#found.queues.get(each)?.messages === 0,
    );
    const gone = [arriving, waited].filter((each) => !this.#found.queues.has(each));
    return {
      queue: name,
      phase: 'Finishing',
      memberships: gone
        .filter((each) => this.#found.policyIndex.byQueue.has(each))
        .map((each) => ({ queue: each, settings: undefined })),
      steps: [
        ...(exchanges.has(points) && !this.#isThrough() ? [bind(this.#through)] : []),
        ...[...this.#wanted, ...this.#foreignAtPoints()].filter((each) => !isBound(each)).map(bind),
        ...[points, aside]
          .filter((each) => exchanges.has(each))
          .map((exchange) => ({ step: 'deleteExchange', exchange }) as const),
        ...back.map((each) => this.#move(each, name)),
        ...(isEmpty ? back : []).map(
          (each) => ({ step: 'deleteQueue', queue: each, onlyIfEmpty: true }) as const,
        ),
      ],
    };
  }

  /** The points, such that what they do not let through arrives aside. */
  #points(): ObjectStep[] {
    const { points, aside, arriving } = this.#names;
    const { exchanges, bindings } = this.#found;
    const alternate = fanout(aside, {});
    const toArriving = catchAll(aside, arriving);
    return [
      ...(exchanges.has(aside) ? [] : [declareExchange(alternate)]),
      ...this.#missing([this.#temporary(arriving)]),
      ...((bindings.get(arriving) ?? []).some(sameAs(toArriving)) ? [] : [bind(toArriving)]),
      ...(exchanges.has(points) ? [] : [declareExchange(fanout(points, { 'alternate-exchange': aside }))]),
    ];
  }

  /** The points are bound as the queue is wanted to be, and as other people have bound it. */
  #takenOver(direct: readonly Binding[]): ObjectStep[] {
    const { points } = this.#names;
    const there = this.#found.exchangeBindings.get(points) ?? [];
    const all = [...this.#wanted, ...direct.filter((each) => !this.#isManaged(each))].map((each) =>
      redirected(each, points, 'exchange'),
    );
    return [
      ...all.filter((each) => !there.some(sameAs(each))).map(bind),
      ...there.filter((each) => this.#isManaged(each) && !all.some(sameAs(each))).map(unbind),
    ];
  }

  #foreignAtPoints(): Binding[] {
    return (this.#found.exchangeBindings.get(this.#names.points) ?? [])
      .filter((each) => !this.#isManaged(each))
      .map((each) => redirected(each, this.#queue.name, 'queue'));
  }

  /** From the exchange whose bindings to this queue are the operator's; others are somebody else's. */
  #isManaged({ source }: Binding): boolean {
    return this.#wanted.some((each) => each.source === source);
  }

  #direct(): Binding[] {
    return this.#bindings().filter((each) => !sameAs(this.#through)(each));
  }

  #isThrough(): boolean {
    return this.#bindings().some(sameAs(this.#through));
  }

  #bindings(): readonly Binding[] {
    return this.#found.bindings.get(this.#queue.name) ?? [];
  }

  /** As safe as the queue itself, and for one mover at a time. */
  #temporary(name: string): Queue {
    const { 'x-queue-type': _, ...safety } = this.#queue.arguments;
    return {
      name,
      durable: true,
      autoDelete: false,
      arguments: { 'x-queue-type': 'quorum', ...safety, 'x-single-active-consumer': true },
    };
  }

  #missing(queues: readonly Queue[]): ObjectStep[] {
    return queues.filter(({ name }) => !this.#found.queues.has(name)).map(declaration);
  }

  #memberships(queues: readonly string[]): Membership[] {
    const settings = temporarySettings(this.#options.capabilities);
    return queues
      .filter((queue) => !isMember(this.#found.policyIndex, queue, settings))
      .map((queue) => ({ queue, settings }));
  }

  #move(from: string, to: string, until: MoveStep['until'] = 'empty'): MoveStep {
    return moving(from, to, this.#found, until);
  }
}

/** No limit that could refuse or drop anything; a mover that is killed again and again counts as failed deliveries. */
function temporarySettings({ deliveryLimitByDefault }: BrokerCapabilities): Settings {
  return { 'delivery-limit': deliveryLimitByDefault ? -1 : 1_000_000 };
}
