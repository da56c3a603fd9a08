/** For tests of takeovers: the subscription `loyalty` is taken over by `points`. */
import type { RunningOperator } from './folder-operator.ts';
import { isReady } from './folder-operator.ts';
import { recordCalls, recordCallsUntilDeath } from './recording-client.ts';
import type { CallName, Calls } from './recording-client.ts';
import type { ShopWorld } from './shop-world.ts';
import { readSettingsOf } from './virtual-host.ts';

export const events = ['OrderPlaced', 'payment.*'];
export const patience = { timeoutMs: 120_000, intervalMs: 50 };
export const claim = { annotations: { 'warren.events/claim-from': 'shop/loyalty' } };
export const release = { annotations: { 'warren.events/release-to': 'shop/points' } };

export const ids = (count: number): string[] => Array.from({ length: count }, (_, index) => `e-${index}`);

/** What is left on the broker of a subscription: names of queues and exchanges, keys of bindings, names of policies. */
export async function objectsOf({ host }: ShopWorld, name: string): Promise<string[]> {
  const { queues, exchanges, bindings, policies } = await host.api.inventory();
  return [
    ...queues.map((one) => one.name),
    ...exchanges.map((one) => one.name),
    ...bindings.map(({ routingKey }) => routingKey),
    ...policies.flatMap(({ pattern }) => pattern.replaceAll('\\', '').slice(2, -2).split('|')),
  ].filter((one) => one === `shop.${name}` || one.startsWith(`shop.${name}.`));
}

export async function publishMany({ host }: ShopWorld, count: number): Promise<void> {
  for (let at = 0; at < count; at += 500) await host.publish('order.placed', ids(count).slice(at, at + 500));
}

/** What a consumer of a subscription gets, in the order of its arrival. */
export async function inboxOf({ host, world }: ShopWorld, name: string): Promise<string[]> {
  const seen: string[] = [];
  host.consume(await readSettingsOf(world.state, name), ({ content }) => {
    seen.push(content.toString());
    return Promise.resolve();
  });
  return seen;
}

export function isSettled(operator: RunningOperator, name: string): boolean {
  return isReady(operator, name) && operator.condition(name, 'TopologyInSync')?.status === 'True';
}

/** Both say so. */
export async function agree({ world }: ShopWorld, spec: Record<string, unknown> = { events }): Promise<void> {
  await world.subscribe('points', spec, claim);
  await world.subscribe('loyalty', spec, release);
}

/** One more operator, which dies of its second write. */
export async function operateToDeath(world: ShopWorld) {
  const calls = recordCallsUntilDeath(1);
  const operator = await world.operate({ calls });
  return {
    get died() {
      return calls.died;
    },
    /** It has died, or `points` has taken over. */
    isOver: () =>
      calls.died ||
      (isSettled(operator, 'points') && operator.condition('loyalty', 'Released')?.status === 'True'),
    stop: () => operator.stop(),
  };
}

/** Both still say so, as far as the operator has read. */
export function isAgreed(operator: RunningOperator): boolean {
  const [loyalty, points] = [operator.resource('loyalty'), operator.resource('points')];
  return (
    loyalty?.metadata.annotations?.['warren.events/release-to'] === 'shop/points' &&
    points?.metadata.annotations?.['warren.events/claim-from'] === 'shop/loyalty' &&
    points.metadata.deletionTimestamp === undefined
  );
}

export interface Held {
  readonly calls: Calls;
  release(): void;
}

/** The operator's calls of the broker wait from the first such call on, until they are released. */
export function holdBefore(name: CallName): Held {
  return holdWhen((call) => call === name);
}

/** The same, when the first such call was made. */
export function holdAfter(name: CallName): Held {
  return holdWhen((call, made) => call !== name && made.includes(name));
}

/** The calls of the broker wait before what is new is bound to the new queues: what waited is in them. */
export function holdBeforeTheReturnIsOver(): Held {
  return holdWhen((call, made) => call === 'bind' && made.includes('deleteQueue'));
}

function holdWhen(isDue: (call: CallName, made: readonly CallName[]) => boolean): Held {
  const calls = recordCalls();
  const { promise, resolve } = Promise.withResolvers<undefined>();
  let holding = false;
  calls.before = (call) => {
    holding ||= isDue(call, calls.made);
    return holding ? promise : undefined;
  };
  return { calls, release: () => resolve(undefined) };
}
