/** Reads the brokers that a plan speaks of: one version and one inventory each. */
import { capabilitiesOf, DEFAULT_EXCHANGES } from '@warren/topology';
import type { Found } from '@warren/topology';
import { claimantIn, judge } from '../brokers/claim.ts';
import { adoptsVirtualHost, claimantOf } from '../brokers/claimer.ts';
import type { ConnectBroker } from '../brokers/client.ts';
import { accessOf } from '../brokers/secret.ts';
import type { BrokerResource } from '../resources.ts';
import type { BrokerReading } from './plan.ts';
import type { Present } from './present.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface BrokerReader {
  present: Pick<Present, 'readSecret' | 'clusterId' | 'broker'>;
  connect: ConnectBroker;
  env: Environment;
  /** Whether an EventBroker that nobody knows may be the one of the environment. */
  mayBeUnknown: boolean;
}

/** @throws what accessOf and the management client throw: sentences without a credential */
export async function readBroker(
  resource: BrokerResource | undefined,
  { present, connect, env, mayBeUnknown }: BrokerReader,
): Promise<BrokerReading> {
  const named = environmentSecret(env);
  if (resource === undefined && (named === undefined || !mayBeUnknown)) return { state: 'missing' };
  const secretRef = resource?.spec.secretRef;
  const access =
    named !== undefined || secretRef === undefined
      ? accessOf('of the environment (RABBITMQ_URL)', named)
      : accessOf(`${secretRef.namespace}/${secretRef.name}`, await present.readSecret(secretRef));
  const { managementUrl: url, vhost, tls } = access;
  const client = connect({ url, vhost, ...(tls === undefined ? {} : { tls }) });
  try {
    const [{ version, exchangeTypes }, found] = await Promise.all([client.overview(), client.inventory()]);
    return {
      state: 'read',
      resource,
      version,
      vhost,
      capabilities: {
        ...capabilitiesOf(version, exchangeTypes),
        exchanges: resource?.spec.exchanges ?? DEFAULT_EXCHANGES,
      },
      found,
      taken: await takenBy(resource, found, present),
    };
  } finally {
    await client.close();
  }
}

/** What an operator with this EventBroker would say of the virtual host's mark. One that is in no cluster has no mark yet. */
async function takenBy(
  resource: BrokerResource | undefined,
  { exchanges }: Found,
  present: Pick<Present, 'clusterId' | 'broker'>,
): Promise<string | undefined> {
  if (resource?.metadata.uid === undefined) return undefined;
  const theirs = claimantIn({ exchanges: new Map(exchanges.map((each) => [each.name, each])) });
  const isThere = theirs !== undefined && (await present.broker(theirs.broker)) !== undefined;
  const judged = judge(await claimantOf(resource, present), theirs, {
    exists: () => isThere,
    mayTakeOver: adoptsVirtualHost(resource),
  });
  return judged.claim === 'taken' ? judged.message : undefined;
}

/** The keys of a broker's Secret out of RABBITMQ_URL; the management API is where it usually is unless the second one says. */
function environmentSecret(env: Environment): Record<string, string> | undefined {
  const uri = env['RABBITMQ_URL'];
  if (uri === undefined || uri === '') return undefined;
  const management = env['RABBITMQ_MANAGEMENT_URL'];
  return {
    uri,
    'management-uri': management === undefined || management === '' ? managementOf(uri) : management,
  };
}

function managementOf(uri: string): string {
  if (!URL.canParse(uri)) return '';
  const { protocol, hostname } = new URL(uri);
  return protocol === 'amqps:' ? `https://${hostname}:15671` : `http://${hostname}:15672`;
}
