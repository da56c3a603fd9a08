/** For tests: a whole operator of widgets, with a finalizer, a status, and a Secret that it watches. */
import type { Cluster } from '../cluster.ts';
import { setCondition } from '../conditions.ts';
import { createController } from '../controller.ts';
import { addFinalizer, hasFinalizer, removeFinalizer } from '../finalizers.ts';
import { resources } from '../object.ts';
import type { KubernetesObject } from '../object.ts';
import { predicates } from '../predicates.ts';
import { createReflector } from '../reflector.ts';
import { createStatusWriter } from '../status-writer.ts';
import { watchSource } from '../watch-source.ts';
import type { Widget, WidgetWorld } from './widgets.ts';

export type Secret = KubernetesObject & { type?: string; data?: Record<string, string> };

export function startOperator(world: WidgetWorld, cluster: Cluster, namespace: string) {
  const own = cluster.resource<Widget>(world.type);
  const reflector = createReflector({
    resource: own,
    namespace,
    watchSeconds: [1, 2],
    backoffMs: { first: 20, most: 200 },
    indexes: { secret: ({ spec }) => (spec.secret === undefined ? [] : [spec.secret]) },
  });
  const secrets = createReflector({
    resource: cluster.resource<Secret>(resources.secrets),
    namespace,
    backoffMs: { first: 20, most: 200 },
  });
  const status = createStatusWriter({ resource: own });
  const tidied: string[] = [];
  let reconciles = 0;
  const controller = createController({
    name: 'widgets',
    workers: 4,
    sources: [
      watchSource(reflector, { predicate: predicates.generationChanged }),
      watchSource(secrets, { map: ({ object }) => reflector.store.by('secret', object.metadata.name) }),
    ],
    reconcile: async (key, { signal }) => {
      reconciles += 1;
      const widget = reflector.store.get(key);
      if (widget === undefined) return;
      if (widget.metadata.deletionTimestamp !== undefined) {
        if (hasFinalizer(widget, world.finalizer)) tidied.push(key);
        await removeFinalizer(own, widget, world.finalizer, { signal });
        return;
      }
      if ((await addFinalizer(own, widget, world.finalizer, { signal })) === undefined) return;
      const word = secrets.store.get(`${namespace}/${widget.spec.secret ?? ''}`)?.data?.['word'];
      const observedGeneration = widget.metadata.generation ?? 0;
      await status.write(
        widget,
        (current) => ({
          seen: widget.spec.size,
          ...(word === undefined ? {} : { word }),
          conditions: setCondition(current?.conditions, {
            type: 'Ready',
            status: 'True',
            reason: 'Seen',
            message: 'Seen.',
            observedGeneration,
          }),
        }),
        { signal },
      );
    },
  });
  return { controller, tidied, reflector, reconciles: () => reconciles };
}
