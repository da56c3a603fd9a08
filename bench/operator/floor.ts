/** The least that has to be done: the broker objects, declared by parallel calls that claim, compare and tell nothing. */
import { testBroker } from '@warren/environment/testing';
import { createManagementClient } from '@warren/rabbitmq';
import type { ManagementClient } from '@warren/rabbitmq';
import { capabilitiesOf, difference, inventoryOf, policyPlan, wantedTopology } from '@warren/topology';
import type { Step } from '@warren/topology';
import { cpuMeter } from './machine.ts';
import { inParallel, seconds } from './measuring.ts';
import { specOf } from './world.ts';

export interface Floor {
  seconds: number;
  /** CPU seconds by process. */
  cpu: Record<string, number>;
}

/** Policies before the queues, as the operator does it. */
export async function floor(names: readonly string[]): Promise<Floor> {
  await using broker = await testBroker();
  await using api = createManagementClient({ url: broker.managementUrl, vhost: broker.vhost });
  const nothing = inventoryOf({ exchanges: [], queues: [], bindings: [], policies: [] });
  const capabilities = capabilitiesOf((await api.overview()).version);
  const wanted = names.map((name) =>
    difference(wantedTopology({ namespace: 'bench', name, spec: specOf() }, capabilities), nothing),
  );
  const cpu = await cpuMeter();
  const begun = performance.now();
  const policies = policyPlan(
    wanted.flatMap(({ memberships }) => memberships),
    [],
  );
  for (const step of policies) await write(api, step);
  await inParallel(wanted, async ({ steps }) => {
    for (const step of steps) await write(api, step);
  });
  return { seconds: seconds(begun), cpu: await cpu() };
}

async function write(api: ManagementClient, step: Step): Promise<void> {
  switch (step.step) {
    case 'declareExchange':
      return api.declareExchange(step.exchange);
    case 'declareQueue':
      return api.declareQueue(step.queue);
    case 'bind':
      return api.bind(step.binding);
    case 'putPolicy':
      return api.putPolicy(step.policy);
    default:
      throw new TypeError(`nothing is there, and yet: ${step.step}`);
  }
}
