/** Marks a virtual host as an EventBroker's, and takes the mark off: claim.ts tells what it means. */
import type { Log } from '@warren/controller';
import type { Inventory } from '@warren/topology';
import { VirtualHostTakenError } from '../errors.ts';
import { ADOPT_ANNOTATION } from '../resources.ts';
import type { BrokerResource } from '../resources.ts';
import type { ResourceSource } from '../source.ts';
import { claimantIn, CLAIM_EXCHANGE, judge, markOf } from './claim.ts';
import type { Claimant } from './claim.ts';
import type { BrokerConnection } from './connection.ts';

interface Claiming {
  resource: BrokerResource;
  source: Pick<ResourceSource, 'brokers' | 'clusterId'>;
  log: Log;
  /** The virtual host has been this EventBroker's in the life of this process: it does not take it over again. */
  hadClaim: boolean;
}

type Connection = Pick<BrokerConnection, 'apply' | 'inventory' | 'doubt'>;

/**
 * True when it is ours; false when this user may not mark it, so that nobody is kept out.
 *
 * @throws {VirtualHostTakenError} when it is somebody else's
 */
export async function claimVirtualHost(
  connection: Connection,
  found: Inventory,
  { resource, source, log, hadClaim }: Claiming,
): Promise<boolean> {
  const { name } = resource.metadata;
  const ours = await claimantOf(resource, source);
  const exists = (broker: string) => source.brokers.get(broker) !== undefined;
  const before = judge(ours, claimantIn(found), {
    exists,
    mayTakeOver: adoptsVirtualHost(resource) && !hadClaim,
  });
  if (before.claim === 'ours') return true;
  if (before.claim === 'free') {
    try {
      if (before.replacing) await connection.apply({ step: 'deleteExchange', exchange: CLAIM_EXCHANGE });
      await connection.apply({ step: 'declareExchange', exchange: markOf(ours) });
    } catch (error) {
      if ((error as { code?: unknown } | null)?.code !== 'WARREN_BROKER_FORBIDDEN') throw error;
      log.warn(
        { broker: name },
        `this user may not make the exchange ${CLAIM_EXCHANGE}: nothing keeps other operators out`,
      );
      return false;
    }
  }
  // Of two that came at once, one was first.
  const { found: now } = await connection.inventory({ maxAgeMs: 0 });
  const after = judge(ours, claimantIn(now), { exists, mayTakeOver: false });
  if (after.claim === 'ours') return true;
  // It is looked at anew each time: the other may let go.
  connection.doubt();
  throw new VirtualHostTakenError(
    after.claim === 'taken' ? after.message : 'another operator is claiming the virtual host at this moment',
  );
}

/**
 * Looks at the mark, and leaves it as it is.
 *
 * @throws {VirtualHostTakenError} when it is somebody else's
 */
export async function refuseTaken(
  found: Inventory,
  { resource, source }: Pick<Claiming, 'resource' | 'source'>,
): Promise<void> {
  const exists = (broker: string) => source.brokers.get(broker) !== undefined;
  const ours = await claimantOf(resource, source);
  const judged = judge(ours, claimantIn(found), { exists, mayTakeOver: false });
  if (judged.claim === 'taken') throw new VirtualHostTakenError(judged.message);
}

/** The virtual host is anybody's again. Never throws: a mark that stays can be adopted. */
export async function releaseVirtualHost(
  connection: Connection,
  { resource, source, log }: Omit<Claiming, 'hadClaim'>,
): Promise<void> {
  try {
    const { found } = await connection.inventory({ maxAgeMs: 0 });
    const { uid } = await claimantOf(resource, source);
    if (claimantIn(found)?.uid === uid)
      await connection.apply({ step: 'deleteExchange', exchange: CLAIM_EXCHANGE });
  } catch (error) {
    log.debug({ error: String(error) }, 'the mark on the virtual host could not be removed');
  }
}

export function adoptsVirtualHost({ metadata }: BrokerResource): boolean {
  return metadata.annotations?.[ADOPT_ANNOTATION] === 'true';
}

export async function claimantOf(
  { metadata }: BrokerResource,
  source: Pick<ResourceSource, 'clusterId'>,
): Promise<Claimant> {
  const cluster = await source.clusterId();
  return {
    broker: metadata.name,
    uid: metadata.uid ?? metadata.name,
    ...(cluster === undefined ? {} : { cluster }),
  };
}
