/** A difference in words, and whose it is. */
import { describeDifference } from '@warren/topology';
import type { Difference } from '@warren/topology';

export function differencesIn({ memberships, steps }: Difference): string[] {
  return [
    ...steps.map(describeDifference),
    ...memberships.map(({ queue }) => `the policy of queue ${queue} is not as it should be`),
  ];
}

/** What an earlier change of the spec left until it had run dry: nobody's hand. */
export function isTidying({ memberships, steps }: Difference): boolean {
  return memberships.length === 0 && steps.every(({ step }) => step === 'deleteQueue');
}
