/** For tests: an event store of the shop's events on a database of its own. */
import { randomUUID } from 'node:crypto';
import { OrderCancelled, OrderCompleted, OrderPlaced, shopCatalogue } from '@warren/contracts';
import type { NewEvent } from '@warren/contracts';
import mongoose from 'mongoose';
import type { Connection } from 'mongoose';
import { createEventStore } from '../event-store.ts';
import type { EventStore, EventStoreOptions } from '../event-store.ts';

export interface TestStore extends AsyncDisposable {
  readonly store: EventStore;
  readonly connection: Connection;
}

export async function openStore(url: string, options: Partial<EventStoreOptions> = {}): Promise<TestStore> {
  const connection = await openConnection(url);
  const store = createEventStore({ connection, catalogue: shopCatalogue, source: 'test', ...options });
  await store.init();
  return { store, connection, [Symbol.asyncDispose]: () => connection.close() };
}

/** As a service opens it, but quicker to notice that the database is gone. */
export async function openConnection(url: string): Promise<Connection> {
  return await mongoose
    .createConnection(url, {
      autoIndex: false,
      bufferCommands: false,
      serverSelectionTimeoutMS: 1000,
      connectTimeoutMS: 1000,
      heartbeatFrequencyMS: 500,
    })
    .asPromise();
}

export const cause = { correlationId: 'c1' };

export function newId(kind = 'order'): string {
  return `${kind}-${randomUUID()}`;
}

export function placed(orderId: string, { total = 10, userId = 'user-1' } = {}): NewEvent {
  const lines = [{ sku: 'tea', quantity: 1, unitPrice: total }];
  return OrderPlaced.create({ orderId, userId, lines, total, currency: 'EUR' });
}

export function completed(orderId: string, { total = 10, userId = 'user-1' } = {}): NewEvent {
  return OrderCompleted.create({ orderId, userId, total, paymentId: 'payment-1' });
}

export function cancelled(orderId: string, { total = 10, userId = 'user-1', reason = 'no' } = {}): NewEvent {
  return OrderCancelled.create({ orderId, userId, total, reason });
}
