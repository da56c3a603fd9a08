/** Reads the brokers that a plan speaks of: one version and one inventory each. */
import { ForbiddenError } from '@warren/controller';
import { capabilitiesOf, DEFAULT_EXCHANGES } from '@warren/topology';
import type { Found } from '@warren/topology';
import { claimantIn, judge } from '../brokers/claim.ts';
import { adoptsVirtualHost, claimantOf } from '../brokers/claimer.ts';
import type { ConnectBroker } from '../brokers/client.ts';
import { accessOf } from '../brokers/secret.ts';
import type { BrokerAccess } from '../brokers/secret.ts';
import { BrokerSecretError } from '../errors.ts';
import type { BrokerResource } from '../resources.ts';
import type { BrokerReading } from './plan.ts';
import { RefusedError } from './present.ts';
import type { Present } from './present.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface BrokerReader {
  present: Pick<Present, 'readSecret' | 'clusterId' | 'broker'>;
  connect: ConnectBroker;
  env: Environment;
  /** Whether an EventBroker that nobody knows may be the one of the environment. */
  mayBeUnknown: boolean;
}

export interface FoundBroker {
  resource: BrokerResource | undefined;
  access: BrokerAccess;
  /** `the Secret warren-system/rabbitmq`, or `RABBITMQ_URL`. */
  by: string;
}

/**
 * Each EventBroker by its name; undefined where nobody knows it.
 *
 * @throws {RefusedError} what accessOf and the management client throw: sentences without a credential
 */
export async function readBrokers(
  resources: ReadonlyMap<string, BrokerResource | undefined>,
  reader: BrokerReader,
): Promise<Map<string, BrokerReading>> {
  const found = await findBrokers(resources, reader);
  return each(found, (broker) => (broker === undefined ? { state: 'missing' } : readBroker(broker, reader)));
}

/**
 * By the Secret of each, as the operator finds it. The environment stands in where that is not to be read, or is not there yet.
 *
 * @throws {RefusedError}
 */
export async function findBrokers(
  resources: ReadonlyMap<string, BrokerResource | undefined>,
  reader: Omit<BrokerReader, 'connect'>,
): Promise<Map<string, FoundBroker | undefined>> {
  const found = await each(resources, (resource) => findBroker(resource, reader));
  const named = [...found].flatMap(([name, broker]) => (broker?.by === 'RABBITMQ_URL' ? [`"${name}"`] : []));
  if (named.length > 1)
    throw new RefusedError(
      `RABBITMQ_URL is one broker, and would stand in for the EventBrokers ${named.join(', ')}: plan what is on each of them apart`,
    );
  return found;
}

async function each<From, To>(
  brokers: ReadonlyMap<string, From>,
  ask: (one: From) => To | Promise<To>,
): Promise<Map<string, To>> {
  const asked = [...brokers].map(async ([name, one]): Promise<[string, To]> => {
    try {
      return [name, await ask(one)];
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      throw new RefusedError(`EventBroker "${name}": ${message}`, { cause: error });
    }
  });
  return new Map(await Promise.all(asked));
}

async function findBroker(
  resource: BrokerResource | undefined,
  { present, env, mayBeUnknown }: Omit<BrokerReader, 'connect'>,
): Promise<FoundBroker | undefined> {
  const named = environmentSecret(env);
  const byEnvironment = () => ({
    resource,
    access: accessOf('of the environment (RABBITMQ_URL)', named),
    by: 'RABBITMQ_URL',
  });
  if (resource === undefined) return named !== undefined && mayBeUnknown ? byEnvironment() : undefined;
  const { secretRef } = resource.spec;
  const where = `${secretRef.namespace}/${secretRef.name}`;
  try {
    const entries = await present.readSecret(secretRef);
    if (entries !== undefined)
      return { resource, access: accessOf(where, entries), by: `the Secret ${where}` };
  } catch (error) {
    if (!(error instanceof ForbiddenError)) throw error;
    if (named === undefined) throw new BrokerSecretError(`${error.message} (or set RABBITMQ_URL)`);
  }
  if (named !== undefined) return byEnvironment();
  throw new BrokerSecretError(`there is no Secret ${where} (or set RABBITMQ_URL)`);
}

async function readBroker(
  { resource, access, by }: FoundBroker,
  { present, connect }: BrokerReader,
): Promise<BrokerReading> {
  const { managementUrl: url, vhost, tls } = access;
  const client = connect({ url, vhost, ...(tls === undefined ? {} : { tls }) });
  try {
    const [{ version, exchangeTypes }, found] = await Promise.all([client.overview(), client.inventory()]);
    return {
      state: 'read',
      resource,
      version,
      vhost,
      source: `${new URL(url).origin}, by ${by}`,
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
