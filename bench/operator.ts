/**
 * The operator on a real API server and a real broker, beside the management API used directly.
 *
 *   ready      from the first create until the last of N EventSubscriptions says Ready, beside the floor: the same broker
 *              objects, declared by 16 parallel calls that claim, compare and tell nothing
 *   restart    a new process with all of them in place: until each was compared
 *   idle       what rest costs, over some resyncs
 *   new        one more becomes Ready while all are compared again and again
 *   edit       a tunable reaches the queue, meanwhile too
 *   drift      a queue, a binding, a policy deleted by hand: until it is back
 *
 *   peer       the same topology by messaging-topology-operator, until all of its resources are Ready; and a restart of it
 *
 * `--count` subscriptions (200); `--peer`, for at most `--peer-seconds` (600); `--only restart,idle` leaves out the rest.
 */
import { helmBinary } from '@warren/environment';
import { testBroker, testKubernetes } from '@warren/environment/testing';
import { createManagementClient } from '@warren/rabbitmq';
import { finalizersAtCreation } from '../operator/src/testing/admission.ts';
import { kubernetesWorld } from '../operator/src/testing/kubernetes-world.ts';
import { numberOption } from './measure.ts';
import type { Bench, Options } from './measure.ts';
import { drift, edit, another, idle, ready, restart } from './operator/scenarios.ts';
import type { Scene } from './operator/scenarios.ts';
import { floor } from './operator/floor.ts';
import { peer } from './operator/peer.ts';
import { build } from './operator/process.ts';

const PARTS = { restart, idle, new: another, edit, drift };

async function* operator(options: Options): AsyncGenerator<Record<string, unknown>> {
  const count = numberOption(options, 'count', 200);
  const only = typeof options['only'] === 'string' ? options['only'].split(',') : undefined;
  await build();
  const { kubeconfig } = await testKubernetes();
  const names = Array.from({ length: count }, (_, index) => `s${index}`);
  const least = await floor(names);
  await using broker = await testBroker();
  await using api = createManagementClient({ url: broker.managementUrl, vhost: broker.vhost });
  await using world = await kubernetesWorld(kubeconfig, broker);
  await using _policy = await finalizersAtCreation(world, await helmBinary());
  const scene: Scene = {
    kubeconfig,
    world,
    broker,
    api,
    names,
    resyncSeconds: numberOption(options, 'resync', 15),
  };
  const result = await ready(scene, least);
  yield { what: 'ready', subscriptions: count, ...result };
  if (options['peer'] !== undefined) {
    const within = numberOption(options, 'peer-seconds', 600);
    yield { what: 'peer', subscriptions: count, ...(await peer(names, Number(result['seconds']), within)) };
  }
  for (const [what, run] of Object.entries(PARTS))
    if (only === undefined || only.includes(what))
      yield { what, subscriptions: count, ...(await run(scene)) };
}

export const benches: Record<string, Bench> = {
  operator: {
    about: 'the operator beside bare declarations: Ready, restart, rest, edits, repair',
    options: {
      count: 'subscriptions; 200',
      only: 'of restart,idle,new,edit,drift: a list with commas; all',
      resync: 'seconds between two comparisons of everything; 15',
      peer: 'also messaging-topology-operator (needs Go)',
      'peer-seconds': 'for it at most; 600',
    },
    run: operator,
  },
};
