/**
 * Whose a virtual host is. Two operators that want different things of the same queues would undo each other's work for ever,
 * so the first leaves a mark, an exchange that nothing is bound to, and the others say whose it is and touch nothing.
 *
 *   warren.operator   fanout   { warren-broker: default, warren-uid: <of the EventBroker>, warren-cluster: <hash> }
 *
 * - The mark is one's own when it has the EventBroker's uid; or its cluster and its name, for one that was made anew.
 * - One of this cluster whose EventBroker is not there any more is nobody's.
 * - `warren.events/adopt: "true"` on the EventBroker takes the virtual host over, once in the life of a process: two that are
 *   both told to do not take it from each other in turns.
 *
 * Declaring an exchange that exists changes nothing, so of two that come at once the first wins; reading it back tells who.
 */
import type { Exchange, Inventory } from '@warren/topology';
import { ADOPT_ANNOTATION } from '../resources.ts';

export const CLAIM_EXCHANGE = 'warren.operator';

export interface Claimant {
  /** The EventBroker's name and uid. */
  broker: string;
  uid: string;
  /** Tells clusters (or folders) apart; undefined where nothing does. */
  cluster?: string;
}

export type Judgement =
  /** It has our mark. */
  | { claim: 'ours' }
  /** It has none, or one that is out of date: put ours there. `replacing`: a mark must go first. */
  | { claim: 'free'; replacing: boolean }
  | { claim: 'taken'; message: string };

export function markOf({ broker, uid, cluster }: Claimant): Exchange {
  const marks = {
    'warren-broker': broker,
    'warren-uid': uid,
    ...(cluster === undefined ? {} : { 'warren-cluster': cluster }),
  };
  return { name: CLAIM_EXCHANGE, type: 'fanout', durable: true, autoDelete: false, arguments: marks };
}

/** Who has marked the virtual host; undefined when nobody has. */
export function claimantIn({ exchanges }: Pick<Inventory, 'exchanges'>): Claimant | undefined {
  const mark = exchanges.get(CLAIM_EXCHANGE)?.arguments;
  if (mark === undefined) return undefined;
  const text = (key: string) => (typeof mark[key] === 'string' ? mark[key] : '');
  const cluster = text('warren-cluster');
  return {
    broker: text('warren-broker'),
    uid: text('warren-uid'),
    ...(cluster === '' ? {} : { cluster }),
  };
}

export function judge(
  ours: Claimant,
  theirs: Claimant | undefined,
  { exists, mayTakeOver }: { exists: (broker: string) => boolean; mayTakeOver: boolean },
): Judgement {
  if (theirs === undefined) return { claim: 'free', replacing: false };
  const sameCluster = ours.cluster !== undefined && ours.cluster === theirs.cluster;
  const isOurs = theirs.uid === ours.uid || (sameCluster && theirs.broker === ours.broker);
  // A new uid or another CA of the cluster: both at once could not be told from a stranger, so the mark follows.
  if (isOurs)
    return theirs.uid === ours.uid && sameCluster === (ours.cluster !== undefined)
      ? { claim: 'ours' }
      : { claim: 'free', replacing: true };
  if (mayTakeOver || (sameCluster && !exists(theirs.broker))) return { claim: 'free', replacing: true };
  const whose = sameCluster
    ? `EventBroker "${theirs.broker}" of this cluster has the virtual host: let its subscriptions use that one, or give this one a virtual host of its own`
    : `EventBroker "${theirs.broker}" (uid ${theirs.uid}) of another cluster or folder has the virtual host: give this one a virtual host of its own, ` +
      `or, when the other is gone for good, annotate it with ${ADOPT_ANNOTATION}=true`;
  return { claim: 'taken', message: whose };
}
