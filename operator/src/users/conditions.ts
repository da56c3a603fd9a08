/** What an EventBroker says of its consumers' credentials. Pure. */
import { conditionOf } from '../conditions.ts';
import type { Said } from '../conditions.ts';
import { notAdministrator } from '../errors.ts';
import type { Condition } from '../resources.ts';
import type { StoryEvent } from '../source.ts';
import type { BrokerUsers } from './broker-users.ts';

const TYPE = 'ConsumerCredentials';
const SHARED =
  "consumers also get the operator's own client certificate, as whose user a broker that offers EXTERNAL lets them in: put another one for them into the Secret, as consumer-tls.crt and consumer-tls.key";

/** None where consumers share the broker's user. */
export function credentialsConditions({
  users,
  sharesCertificate,
}: {
  users: Pick<BrokerUsers, 'arePerOwner' | 'isForbidden' | 'broker'>;
  sharesCertificate: boolean;
}): Said[] {
  if (!users.arePerOwner) return [];
  if (users.isForbidden)
    return [
      { type: TYPE, status: 'False', reason: 'NotAdministrator', message: notAdministrator(users.broker) },
    ];
  const message = 'every EventSubscription has a user of its own, which reads its own queues only';
  return sharesCertificate
    ? [{ type: TYPE, status: 'True', reason: 'CertificateShared', message: `${message}; ${SHARED}` }]
    : [{ type: TYPE, status: 'True', reason: 'PerSubscription', message }];
}

/** Told once for all its subscriptions. */
export function credentialsStory(
  before: readonly Condition[] | undefined,
  after: readonly Condition[] | undefined,
): StoryEvent | undefined {
  const now = conditionOf(after, TYPE);
  if (now === undefined || now.reason === 'PerSubscription') return undefined;
  if (conditionOf(before, TYPE)?.reason === now.reason) return undefined;
  return { type: 'Warning', reason: now.reason, action: 'Authorize', message: now.message };
}
