/** For tests of the reflector. */
import { Registry } from 'prom-client';
import { createMetrics } from '../metrics.ts';
import { resources } from '../object.ts';
import type { KubernetesObject } from '../object.ts';
import type { Change } from '../observed-store.ts';
import { createReflector } from '../reflector.ts';
import type { ReflectorOptions } from '../reflector.ts';
import type { ListOptions, Page, WatchOptions } from '../resource-client.ts';
import { ScriptedWatch } from './scripted-watch.ts';
import { VirtualClock } from './virtual-clock.ts';

export type Thing = KubernetesObject & { spec?: string };

export const failed = { status: 500, request: 'GET /things' };

export function thing(name: string, version: number, more: Partial<Thing['metadata']> = {}): Thing {
  return { metadata: { name, uid: `uid-${name}`, resourceVersion: String(version), ...more } };
}

/** A reflector on lists and watches that say what the test lets them say. */
export function scriptedReflector(options: Partial<ReflectorOptions<Thing>> = {}) {
  const clock = new VirtualClock();
  const registry = new Registry();
  const state = { list: [] as Thing[], version: 10, failLists: [] as Error[], refuseWatches: [] as Error[] };
  const lists: ListOptions[] = [];
  const watches: ScriptedWatch<Thing>[] = [];
  const resource = {
    type: resources.configMaps,
    async *pages(list: ListOptions = {}): AsyncGenerator<Page<Thing>, void, undefined> {
      lists.push(list);
      await Promise.resolve();
      const error = state.failLists.shift();
      if (error !== undefined) throw error;
      yield { items: structuredClone(state.list), resourceVersion: String(state.version) };
    },
    watch(watch: WatchOptions) {
      const { onOpen: _, ...unopened } = watch;
      const error = state.refuseWatches.shift();
      const scripted = new ScriptedWatch<Thing>(error === undefined ? watch : unopened);
      if (error !== undefined) scripted.send(error);
      watches.push(scripted);
      return scripted.events();
    },
  };
  const reflector = createReflector<Thing>({
    resource,
    clock,
    observer: createMetrics(registry).reflector('things'),
    ...options,
  });
  const changes: Change<Thing>[] = [];
  reflector.onChange((change) => changes.push(change));
  const told = () =>
    changes.splice(0).map(({ type, key, stale }) => `${type} ${key}${stale === true ? ' stale' : ''}`);
  const last = () => {
    const watch = watches.at(-1);
    if (watch === undefined) throw new Error('nothing has been watched yet');
    return watch;
  };
  return { clock, registry, state, lists, watches, reflector, changes, told, last };
}
