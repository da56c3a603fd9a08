/**
 * The shop's rules without I/O: the handlers and deciders of all services over a log in memory, with no broker, no
 * database and no time between. For contract tests, which ask what is published and not how.
 */
import { shopCatalogue } from '@warren/contracts';
import type { Event, NewEvent } from '@warren/contracts';
import type { Decider } from '@warren/event-store';
import { asEvent } from '@warren/service/testing';
import type { App, Handler, Route, ServiceDefinition, ServiceParts } from '@warren/service';
import { consumerOf } from '../../packages/service/src/definition.ts';
import { loyaltyService } from '../../services/loyalty/src/index.ts';
import { notificationHandlers } from '../../services/notification/src/consumers.ts';
import type { Address } from '../../services/notification/src/mails.ts';
import { orderService } from '../../services/order/src/index.ts';
import { paymentService } from '../../services/payment/src/index.ts';
import { userDecider } from '../../services/user/src/user.ts';

/** An event, and the service that appended it. */
export interface Published {
  readonly by: string;
  readonly event: Event;
}

const handlersOf = (subscription: string, { consumers }: ServiceParts): readonly Handler[] =>
  consumerOf(subscription, consumers?.[subscription] ?? []).handlers;

/** A shop in which everything happens at once. */
export class ShopInMemory {
  readonly published: Published[] = [];
  readonly #logs = new Map<string, Event[]>();
  readonly #addresses = new Map<string, Address>();
  readonly handlers: Readonly<Record<string, readonly Handler[]>>;
  readonly #orders: readonly Route[];

  constructor() {
    const parts = (definition: unknown, settings: object = {}) => {
      const { name, parts: make } = definition as ServiceDefinition;
      const execute: App['execute'] = (decider, id, command) =>
        Promise.resolve(this.#append(name, decider, id, command));
      return make?.({ name, settings, execute } as unknown as App<Record<string, unknown>>) ?? {};
    };
    const order = parts(orderService);
    this.#orders = order.routes ?? [];
    this.handlers = {
      order: handlersOf('order', order),
      payment: handlersOf('payment', parts(paymentService, { PAYMENT_LIMIT: 100 })),
      loyalty: handlersOf('loyalty', parts(loyaltyService)),
      notification: notificationHandlers(
        {
          remember: (address) => Promise.resolve(void this.#addresses.set(address.userId, address)),
          find: (userId) => Promise.resolve(this.#addresses.get(userId)),
        },
        { send: () => Promise.resolve(), close: () => undefined },
      ),
    };
  }

  /** Somebody signs up. */
  signUp(userId: string, email: string, name: string): void {
    this.#append('user', userDecider, userId, { userId, email, name });
  }

  /** `POST /orders`; throws the Problem of a body that is refused. */
  async order(body: unknown): Promise<void> {
    const place = this.#orders.find(({ method }) => method === 'post');
    const orderId = `order-${this.published.length}`;
    await place?.accept({ params: {}, query: {}, body }).run({ newId: () => orderId, commandId: 'command' });
  }

  /** Hands every event that was published to everybody who takes it, until nothing more follows. */
  async settle(): Promise<void> {
    for (let next = 0; next < this.published.length; next += 1) {
      const event = this.published[next]?.event;
      if (event !== undefined) await this.deliver(event);
    }
  }

  /** Hands one event to every service that handles its type, checked and lifted as the runtime does it. */
  async deliver(event: Event): Promise<void> {
    const readable = shopCatalogue.upcast(shopCatalogue.validate(event));
    for (const [service, handlers] of Object.entries(this.handlers)) {
      for (const handler of handlers.filter(({ type }) => type === event.type)) {
        await handler.handle(readable, {
          subscription: service,
          attempt: 1,
          signal: new AbortController().signal,
          log: undefined as never,
          execute: (decider, id, command) => {
            this.#append(service, decider, id, command, event);
            return Promise.resolve();
          },
          once: async (effect) => {
            await effect('key', new AbortController().signal);
            return 'now';
          },
        });
      }
    }
  }

  /** Lets a fact be there that somebody else appended. */
  given(event: Event): void {
    this.#logs.set(event.aggregateId, [...(this.#logs.get(event.aggregateId) ?? []), event]);
  }

  #append<State, Command, E extends Event>(
    by: string,
    decider: Decider<State, Command, E>,
    aggregateId: string,
    command: Command,
    cause?: Event,
  ): State {
    const past = this.#logs.get(aggregateId) ?? [];
    const state = past.reduce((before, event) => decider.evolve(before, event as E), decider.initial);
    const decided: readonly NewEvent[] = decider.decide(command, state);
    const events = decided.map((event, index) =>
      asEvent(event, past.length + index, {
        id: `${aggregateId}@${past.length + index + 1}`,
        aggregateId,
        source: by,
        ...(cause === undefined ? {} : { causationId: cause.id }),
      }),
    );
    this.#logs.set(aggregateId, [...past, ...events]);
    this.published.push(...events.map((event) => ({ by, event })));
    return events.reduce((before, event) => decider.evolve(before, event as E), state);
  }
}
