/** What keeps NetworkPolicies in the cluster's machine: kube-network-policies, of which `environment/go` has a main of ours. */
import type { Context } from '../debian.ts';
import { EnvironmentError } from '../errors.ts';
import { goBinaries } from '../go.ts';

/** The queue of the kernel that packets wait in until it has decided. */
export const QUEUE = 100;

/** How a sentence begins that says why they are not; `init.sh` says it too. */
const NOT_ENFORCED = 'network policies are not enforced';

/** Its folder, or undefined where it cannot be built: there is a cluster all the same, and the start says so. */
export async function networkPolicies(context: Context): Promise<string | undefined> {
  try {
    return await goBinaries({
      module: 'network-policies',
      sources: ['main.go'],
      packages: ['.'],
      about: '1 min on 2 cores',
      ...context,
    });
  } catch (error) {
    if (!(error instanceof EnvironmentError) || context.signal?.aborted === true) throw error;
    context.report('cluster', `${NOT_ENFORCED}: ${error.message}`);
    return undefined;
  }
}

/** Why the machine, whose output this is, does not enforce them; undefined where it does. */
export const whyNotEnforced = (output: string): string | undefined =>
  output.split('\n').find((line) => line.startsWith(NOT_ENFORCED));
