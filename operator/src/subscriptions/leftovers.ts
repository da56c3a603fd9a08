/** What a deletion waits for, in words. Pure. */
import { queueOfWaitQueue } from '@warren/topology';

/**
 * `messages in shop.loyalty, retries that wait in shop.loyalty.wait.1000`
 *
 * @param holding the queues that hold messages
 */
export function describeLeftovers(
  holding: readonly { queue: string }[],
  { deadLetterQueue }: { deadLetterQueue: string },
): string {
  const kinds = new Map<string, string[]>();
  for (const { queue } of holding) {
    const isWait = queueOfWaitQueue(queue) !== undefined;
    const kind =
      queue === deadLetterQueue ? 'dead letters in' : isWait ? 'retries that wait in' : 'messages in';
    kinds.set(kind, [...(kinds.get(kind) ?? []), queue]);
  }
  return [...kinds].map(([kind, queues]) => `${kind} ${shown(queues)}`).join(', ');
}

function shown(queues: readonly string[]): string {
  const [most, rest] = [queues.slice(0, 3), queues.length - 3];
  return rest > 0 ? `${most.join(', ')} and ${rest} more` : most.join(' and ');
}
