/** For tests: a folder on a virtual host, with subscriptions in the namespace `shop`, an operator, and a look into all of it. */
import { setTimeout as paused } from 'node:timers/promises';
import { folderWorld, isReady, startFolderOperator } from './folder-operator.ts';
import type { FolderWorld, OperatorTuning, RunningOperator } from './folder-operator.ts';
import { virtualHost } from './virtual-host.ts';
import type { VirtualHost } from './virtual-host.ts';

/** Of a virtual host of its own; it ends with the world. */
export interface BrokerAccess extends AsyncDisposable {
  readonly amqpUrl: string;
  readonly managementUrl: string;
  readonly vhost: string;
}

export interface ShopWorld extends AsyncDisposable {
  readonly world: FolderWorld;
  readonly host: VirtualHost;
  readonly operator: RunningOperator;
  /** One more operator; it ends with the world at the latest. */
  operate(tuning?: OperatorTuning): Promise<RunningOperator>;
}

/** @param subscriptions their specs, by name: everything is ready when it resolves */
export async function shopWorld(
  broker: BrokerAccess,
  subscriptions: Record<string, Record<string, unknown>> = {},
  tuning?: OperatorTuning,
): Promise<ShopWorld> {
  await using stack = new AsyncDisposableStack();
  stack.use(broker);
  const world = stack.use(await folderWorld(broker));
  const host = stack.use(virtualHost(broker));
  for (const [name, spec] of Object.entries(subscriptions)) await world.subscribe(name, spec);
  const operator = stack.use(await startFolderOperator(world, tuning));
  const until = performance.now() + 90_000;
  while (!Object.keys(subscriptions).every((name) => isReady(operator, name))) {
    if (performance.now() > until) throw new Error('the subscriptions do not become ready');
    await paused(20);
  }
  const all = stack.move();
  return {
    world,
    host,
    operator,
    operate: async (more) => all.use(await startFolderOperator(world, more)),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}
