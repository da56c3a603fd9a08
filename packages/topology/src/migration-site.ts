/** Where the queues of one layout are on their way through a migration (migration.ts tells the way), and what is due. */
import type { BrokerCapabilities } from './capabilities.ts';
import { isSameValue } from './canonical.ts';
import type { QueueChange } from './difference.ts';
import type { Inventory } from './inventory.ts';
import { boundTo } from './layout.ts';
import type { Entrance } from './layout.ts';
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
import type { Migration, MigrationOptions, MoveStep } from './migration-steps.ts';
import type { Binding, Exchange, FoundQueue, Membership, Queue, Settings } from './objects.ts';
import { isMember } from './policies.ts';
import type { ObjectStep } from './steps.ts';
import { isTemporary, temporaryNamesOf } from './temporary.ts';
import type { TemporaryNames } from './temporary.ts';

/** A queue with its bindings, or partitions with the exchange that leads to them: as wanted and as found. */
export interface SitePlan {
  /** Temporary objects are named after it. */
  name: string;
  queues: readonly Queue[];
  /** What leads to the queues, where that is not the queue itself. */
  exchange?: Exchange;
  ring: readonly Binding[];
  entrance: Entrance;
  /** The bindings of the entrance. */
  bindings: readonly Binding[];
  /** Entrances of any layout that are there. */
  entrances: readonly Entrance[];
  /** Queues of any layout that are there. */
  there: readonly FoundQueue[];
  /** Wait queues: what they give back to the queue by its name would go with it, so they are emptied too, before it goes. */
  givingBack: readonly FoundQueue[];
  /** Names of queues of other layouts, which are not there and still members of a policy. */
  left: readonly string[];
}

type Due = Omit<Migration, 'changes'>;

export class MigrationSite {
  readonly #plan: SitePlan;
  readonly #names: TemporaryNames;
  readonly #found: Inventory;
  readonly #options: MigrationOptions;
  /** The points let everything through to the entrance. */
  readonly #through: Binding;

  constructor(plan: SitePlan, found: Inventory, options: MigrationOptions) {
    this.#plan = plan;
    this.#names = temporaryNamesOf(plan.name);
    this.#found = found;
    this.#options = options;
    this.#through = catchAll(this.#names.points, plan.entrance);
  }

  /** Something of a migration is there. */
  get isOpen(): boolean {
    const { points, aside, arriving, waited, returning } = this.#names;
    const { policyIndex } = this.#found;
    return (
      [points, aside, returning, arriving, waited].some((name) =>
        isTemporary(name, this.#plan.name, this.#found),
      ) ||
      [arriving, waited].some((name) => policyIndex.byQueue.has(name)) ||
      this.#plan.left.length > 0
    );
  }

  /** @param changes what is other than wanted about the queues that are there */
  next(changes: readonly QueueChange[]): Due {
    const isDiverted = this.#direct().length === 0 && !this.#isThrough() && this.#plan.bindings.length > 0;
    if (changes.length === 0) return isDiverted ? this.#comeBack() : this.#finish();
    const way = isDiverted && this.#isReturning ? this.#wayIn() : undefined;
    return way === undefined ? this.#leave() : this.#returnFirst(way);
  }

  /** Everything new is to arrive aside, and what waits to be moved out. */
  #leave(): Due {
    const { waited, arriving, returning } = this.#names;
    const { entrances, there, queues, givingBack } = this.#plan;
    const direct = this.#direct();
    const throughs = entrances.map((entrance) => catchAll(this.#names.points, entrance));
    const through = throughs.find((each) => this.#isBound(each));
    const preparing = direct.length > 0 || through !== undefined;
    const first = entrances.find((entrance) => this.#directAt(entrance).length > 0);
    const opening = first === undefined ? undefined : catchAll(this.#names.points, first);
    const waitsFor = preparing ? delaysIn(there, this.#options) : undefined;
    const isOrdered = there.some(keepsOrder) && queues.some(keepsOrder);
    const isDrained = givingBack.length === 0 || this.#options.drained;
    const isEmpty = !preparing && isDrained && there.every((queue) => this.#isEmpty(queue));
    const due = {
      queue: this.#plan.name,
      sources: [...[...there, ...givingBack].map(({ name }) => name), ...this.#back()],
      memberships: this.#memberships([arriving, waited]),
    };
    const opened = [
      // Of an earlier return, which is over.
      ...(this.#isReturning && !isEmpty ? [this.#gone(returning)] : []),
      ...this.#points(),
      ...(opening === undefined || through !== undefined ? [] : [bind(opening)]),
      ...this.#takenOver(direct),
      ...direct.map(unbind),
    ];
    if (waitsFor !== undefined)
      return { ...due, consumers: 'unchanged', phase: 'Waiting', waitsFor, steps: opened };
    return {
      ...due,
      consumers: isOrdered ? 'paused' : 'wanted',
      phase: preparing ? 'Preparing' : 'Draining',
      steps: [
        ...opened,
        ...[through ?? opening].flatMap((each) => (each === undefined ? [] : [unbind(each)])),
        ...this.#missing([this.#temporary(waited)]),
        ...there.map(({ name }) => this.#out(name, isOrdered)),
        // Before their time: a retry that waits for a day would hold up all that is new.
        ...givingBack.filter(({ messages }) => messages !== 0).map(({ name }) => this.#out(name, false)),
        ...(isEmpty ? [...this.#removals(), ...this.#arrivals()] : []),
      ],
    };
  }

  /** Another layout is wanted in the middle of a return: what waited goes back before anything goes out again. */
  #returnFirst(entrance: Entrance): Due {
    const { waited, arriving, returning } = this.#names;
    const queue = this.#found.queues.get(waited);
    const isDone = queue === undefined || this.#isEmpty(queue);
    return {
      queue: this.#plan.name,
      consumers: 'unchanged',
      sources: this.#back(),
      phase: 'Returning',
      memberships: this.#memberships([arriving]),
      steps: [
        ...this.#points(),
        ...this.#takenOver([]),
        ...(queue === undefined ? [] : [moving(waited, entrance, this.#found)]),
        ...(isDone ? [this.#gone(returning)] : []),
      ],
    };
  }

  /** Into what is there, be it as wanted or not; undefined where nothing can have come back yet. */
  #wayIn(): Entrance | undefined {
    const { entrances, there } = this.#plan;
    return entrances.find(
      ({ name, kind }) =>
        kind === 'queue' ||
        there.some((queue) =>
          (this.#found.bindings.get(queue.name) ?? []).some(({ source }) => source === name),
        ),
    );
  }

  /** The queues are as wanted, or not there: made anew, or the spec was edited back. Everything new arrives aside. */
  #comeBack(): Due {
    const { waited, arriving } = this.#names;
    const { queues, there } = this.#plan;
    const { queues: all } = this.#found;
    const isOrdered = queues.some(keepsOrder);
    const isComplete = this.#arrivals().length === (this.#isReturning ? 0 : 1);
    const due = { queue: this.#plan.name, memberships: this.#memberships([arriving]) };
    const before = [...this.#points(), ...this.#takenOver([])];
    // Edited back while messages went out: those that are left are newer than those that are out.
    const isHalfOut = all.has(waited) && !there.every((queue) => this.#isEmpty(queue));
    if (isOrdered && isHalfOut && !this.#isReturning)
      return {
        ...due,
        consumers: 'paused',
        sources: [...there.map(({ name }) => name), ...this.#back()],
        phase: 'Draining',
        steps: [...before, ...there.map(({ name }) => this.#out(name, true))],
      };
    return {
      ...due,
      consumers: 'wanted',
      sources: this.#back(),
      phase: isComplete ? 'Returning' : 'Recreating',
      steps: [
        ...before,
        ...this.#arrivals(),
        ...(all.has(waited) ? [this.#in(waited, 'empty', isOrdered)] : []),
        // No new message overtakes those on their way.
        ...(isOrdered ? [this.#in(arriving, 'caughtUp', isOrdered)] : []),
        bind(this.#through),
      ],
    };
  }

  /** Everything new goes to the entrance again. */
  #finish(): Due {
    const { points, aside, arriving, waited, returning } = this.#names;
    const { exchanges, queues, policyIndex } = this.#found;
    const back = this.#back();
    const direct = this.#direct();
    const isBound = (binding: Binding) => direct.some(sameAs(binding));
    const isEmpty = back.every((each) => {
      const queue = queues.get(each);
      return queue !== undefined && this.#isEmpty(queue);
    });
    const gone = [...[arriving, waited].filter((each) => !queues.has(each)), ...this.#plan.left];
    return {
      queue: this.#plan.name,
      consumers: 'wanted',
      sources: back,
      phase: 'Finishing',
      memberships: gone
        .filter((each) => policyIndex.byQueue.has(each))
        .map((each) => ({ queue: each, settings: undefined })),
      steps: [
        ...(exchanges.has(points) && !this.#isThrough() ? [bind(this.#through)] : []),
        ...[...this.#plan.bindings, ...this.#foreignAtPoints()].filter((each) => !isBound(each)).map(bind),
        ...[points, aside, returning].filter((each) => exchanges.has(each)).map((each) => this.#gone(each)),
        ...back.map((each) => this.#in(each)),
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
    const toArriving = catchAll(aside, { name: arriving, kind: 'queue' });
    return [
      ...(exchanges.has(aside) ? [] : [declareExchange(fanout(aside, {}))]),
      ...this.#missing([this.#temporary(arriving)]),
      ...((bindings.get(arriving) ?? []).some(sameAs(toArriving)) ? [] : [bind(toArriving)]),
      ...(exchanges.has(points) ? [] : [declareExchange(fanout(points, { 'alternate-exchange': aside }))]),
    ];
  }

  /** The points are bound as the entrance is wanted to be, and as other people have bound it. */
  #takenOver(direct: readonly Binding[]): ObjectStep[] {
    const { points } = this.#names;
    const there = this.#found.exchangeBindings.get(points) ?? [];
    const all = [...this.#plan.bindings, ...direct.filter((each) => !this.#isManaged(each))].map((each) =>
      redirected(each, points, 'exchange'),
    );
    return [
      ...all.filter((each) => !there.some(sameAs(each))).map(bind),
      ...there.filter((each) => this.#isManaged(each) && !all.some(sameAs(each))).map(unbind),
    ];
  }

  #foreignAtPoints(): Binding[] {
    const { name, kind } = this.#plan.entrance;
    return (this.#found.exchangeBindings.get(this.#names.points) ?? [])
      .filter((each) => !this.#isManaged(each))
      .map((each) => redirected(each, name, kind));
  }

  /** What is not as wanted, and empty. */
  #removals(): ObjectStep[] {
    const { there, queues, exchange, ring } = this.#plan;
    const { exchanges, bindings } = this.#found;
    const isKept = ({ name, type, arguments: args }: FoundQueue) =>
      queues.some(
        (queue) =>
          queue.name === name && type === queue.arguments['x-queue-type'] && isSame(queue.arguments, args),
      );
    const keys = this.#plan.entrances.find(({ kind }) => kind === 'exchange');
    const isRing =
      exchange !== undefined &&
      isSame(exchange.arguments, exchanges.get(exchange.name)?.arguments ?? {}) &&
      ring.every((each) => (bindings.get(each.destination) ?? []).some(sameAs(each)));
    return [
      ...there
        .filter((queue) => !isKept(queue))
        .map(({ name }) => ({ step: 'deleteQueue', queue: name, onlyIfEmpty: true }) as const),
      ...(keys === undefined || isRing ? [] : [this.#gone(keys.name)]),
    ];
  }

  /**
   * What is wanted and missing, as if what is not as wanted were gone. First the sign that what waited is on its way back: from
   * here on nothing goes out before that is done.
   */
  #arrivals(): ObjectStep[] {
    const { queues, exchange, ring } = this.#plan;
    const removed = new Set(
      this.#removals().flatMap((step) =>
        step.step === 'deleteQueue' ? [step.queue] : step.step === 'deleteExchange' ? [step.exchange] : [],
      ),
    );
    const isMissing = (name: string, map: ReadonlyMap<string, unknown>) =>
      !map.has(name) || removed.has(name);
    const isAnew = exchange !== undefined && isMissing(exchange.name, this.#found.exchanges);
    const isLinked = (each: Binding) =>
      !isAnew &&
      !removed.has(each.destination) &&
      (this.#found.bindings.get(each.destination) ?? []).some(sameAs(each));
    return [
      ...(this.#isReturning ? [] : [declareExchange(fanout(this.#names.returning, {}))]),
      ...queues.filter(({ name }) => isMissing(name, this.#found.queues)).map(declaration),
      ...(isAnew ? [declareExchange(exchange)] : []),
      ...ring.filter((each) => !isLinked(each)).map(bind),
    ];
  }

  /** From the exchange whose bindings to this entrance are the operator's; others are somebody else's. */
  #isManaged({ source }: Binding): boolean {
    return this.#plan.bindings.some((each) => each.source === source);
  }

  get #isReturning(): boolean {
    return this.#found.exchanges.has(this.#names.returning);
  }

  #directAt(entrance: Entrance): Binding[] {
    const { points } = this.#names;
    const keys = this.#plan.entrances.find(({ kind }) => kind === 'exchange');
    return boundTo(this.#found, entrance).filter(
      ({ source }) => source !== points && source !== (keys?.name ?? points),
    );
  }

  #direct(): Binding[] {
    return this.#plan.entrances.flatMap((entrance) => this.#directAt(entrance));
  }

  #isThrough(): boolean {
    return this.#plan.entrances.some((entrance) => this.#isBound(catchAll(this.#names.points, entrance)));
  }

  #isBound(binding: Binding): boolean {
    const { destination: name, destinationType: kind } = binding;
    return boundTo(this.#found, { name, kind }).some(sameAs(binding));
  }

  /** Of after the last movement: what is unacknowledged, or was routed just then, is counted late. */
  #isEmpty({ name, messages }: FoundQueue): boolean {
    return this.#options.settled(name) && messages === 0;
  }

  #back(): string[] {
    const { waited, arriving } = this.#names;
    return [waited, arriving].filter((each) => this.#found.queues.has(each));
  }

  /** As safe as the queue itself, and for one mover at a time. */
  #temporary(name: string): Queue {
    const [queue] = this.#plan.queues;
    const safety = Object.fromEntries(
      Object.entries(queue?.arguments ?? {}).filter(([key]) => /^x-(dead-letter-.*|overflow)$/.test(key)),
    );
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

  #out(from: string, isOrdered: boolean): MoveStep {
    const attended = isOrdered ? 'skip' : 'move';
    return moving(from, { name: this.#names.waited, kind: 'queue' }, this.#found, { attended });
  }

  #in(from: string, until: MoveStep['until'] = 'empty', isOrdered = false): MoveStep {
    const attended = isOrdered ? 'wait' : 'move';
    return moving(from, this.#plan.entrance, this.#found, { until, attended });
  }

  #gone(exchange: string): ObjectStep {
    return { step: 'deleteExchange', exchange };
  }
}

function isSame(a: Record<string, unknown>, b: Record<string, unknown>): boolean {
  const { 'x-queue-type': _, ...one } = a;
  const { 'x-queue-type': __, ...other } = b;
  return isSameValue(one, other);
}

/** No limit that could refuse or drop anything; a mover that is killed again and again counts as failed deliveries. */
function temporarySettings({ deliveryLimitByDefault }: BrokerCapabilities): Settings {
  return { 'delivery-limit': deliveryLimitByDefault ? -1 : 1_000_000 };
}
