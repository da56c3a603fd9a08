/** The API server and the broker are faked: which certificate a binding holds goes by the Secret and the mode alone. */
import { expect, test } from '@jest/globals';
import { capabilitiesOf } from '@warren/topology';
import { Registry } from 'prom-client';
import { plainSpec } from '@warren/topology/testing';
import type { BrokerClient } from '../brokers/client.ts';
import { BrokerConnection } from '../brokers/connection.ts';
import { accessOf } from '../brokers/secret.ts';
import { renewed } from '../external-metrics/certificates.ts';
import { createOperatorMetrics } from '../metrics.ts';
import type { SubscriptionResource } from '../resources.ts';
import { credentialsConditions, credentialsStory } from '../users/conditions.ts';
import { bindConsumer } from './effects.ts';

const loyalty: SubscriptionResource = { metadata: { name: 'loyalty', namespace: 'shop' }, spec: plainSpec };
const [ours, theirs] = await Promise.all([pair(), pair()]);
const forConsumers = { 'consumer-tls.crt': theirs['tls.crt'], 'consumer-tls.key': theirs['tls.key'] };

async function pair() {
  const { 'tls.crt': crt, 'tls.key': key } = await renewed(undefined, ['warren'], new Date());
  return { 'tls.crt': `${crt.trim()}\n`, 'tls.key': `${key.trim()}\n` };
}

async function bound(mode: 'Shared' | 'PerSubscription', certificates: Record<string, string>) {
  const none = () => Promise.resolve([]);
  const done = () => Promise.resolve();
  const connection = new BrokerConnection({
    ...{ name: 'default', version: '4.3.6', capabilities: capabilitiesOf('4.3.6') },
    ...{ credentials: { mode }, foreseen: () => [] },
    access: accessOf('warren-system/rabbitmq', {
      ...{ uri: 'amqps://operator:s3cret@broker', 'management-uri': 'https://broker' },
      ...certificates,
    }),
    client: {
      ...{ users: none, permissions: none, topicPermissions: none },
      ...{ putUser: done, putPermission: done },
    } as Partial<BrokerClient> as BrokerClient,
    metrics: createOperatorMetrics(new Registry(), () => []),
  });
  let binding: Readonly<Record<string, string>> = {};
  const source = {
    readBinding: () => Promise.resolve(undefined),
    writeBinding: (_: unknown, __: unknown, entries: typeof binding) => {
      binding = entries;
      return Promise.resolve(true);
    },
  };
  const { signal } = new AbortController();
  await bindConsumer(loyalty, connection, { source, signal, isPaused: false });
  const { uri = '', 'tls.crt': crt, 'tls.key': key } = binding;
  const now = '2026-11-27T00:00:00Z';
  const conditions = credentialsConditions(connection).map((said) => ({ ...said, lastTransitionTime: now }));
  return { user: new URL(uri).username, pair: { 'tls.crt': crt, 'tls.key': key }, binding, conditions };
}

test.each(['Shared', 'PerSubscription'] as const)(
  'with mode %s a consumer gets the certificate that is for consumers, and nothing of the operator’s',
  async (mode) => {
    const { pair: given, binding, conditions } = await bound(mode, { ...ours, ...forConsumers });
    expect(given).toEqual({ 'tls.crt': theirs['tls.crt'], 'tls.key': theirs['tls.key'] });
    expect(Object.keys(binding).filter((key) => key.startsWith('consumer-tls'))).toEqual([]);
    expect(JSON.stringify(binding)).not.toContain(JSON.stringify(ours['tls.key']).slice(1, -1));
    expect(credentialsStory([], conditions)).toBeUndefined();
  },
);

test('a consumer with a user of its own is not cut off where there is one certificate for all, and that is told', async () => {
  const { user, pair: given, conditions } = await bound('PerSubscription', ours);
  expect(user).toMatch(/^shop\.loyalty/);
  expect(given).toEqual(ours);
  expect(conditions).toMatchObject([{ status: 'True', reason: 'CertificateShared' }]);
  expect(conditions[0]?.message).toContain('consumer-tls.crt and consumer-tls.key');
  expect(credentialsStory([], conditions)).toMatchObject({ type: 'Warning', reason: 'CertificateShared' });
  expect(credentialsStory(conditions, conditions)).toBeUndefined();
});

test('nothing is said of it where consumers are the operator’s user anyway, or there is no certificate', async () => {
  const shared = await bound('Shared', ours);
  expect(shared).toMatchObject({ user: 'operator', pair: ours, conditions: [] });
  const without = await bound('PerSubscription', {});
  expect(without.pair).toEqual({});
  expect(without.conditions).toMatchObject([{ status: 'True', reason: 'PerSubscription' }]);
});
