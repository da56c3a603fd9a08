import { expect, test } from '@jest/globals';
import { Registry } from 'prom-client';
import { createOperatorMetrics } from './metrics.ts';
import type { SubscriptionNumbers } from './metrics.ts';

test('the numbers of a subscription are those of the moment, what is not known is not there, and nothing is left of one that is gone', async () => {
  const registry = new Registry();
  const subscriptions = new Map<string, SubscriptionNumbers>();
  createOperatorMetrics(registry, () => subscriptions.values());
  const read = async () =>
    (await registry.metrics()).split('\n').filter((line) => line.startsWith('warren_subscription_'));

  const loyalty = { namespace: 'shop', name: 'loyalty' };
  subscriptions.set('full', {
    ...loyalty,
    ready: true,
    messages: { ready: 3, unacked: 2, deadLetters: 1 },
    consumers: 4,
    replicas: { current: 1, desired: 5 },
  });
  subscriptions.set('new', { namespace: 'shop', name: 'new', ready: false });
  const whose = 'namespace="shop",name="loyalty"';
  expect(await read()).toEqual([
    `warren_subscription_ready{${whose}} 1`,
    'warren_subscription_ready{namespace="shop",name="new"} 0',
    `warren_subscription_messages{${whose},state="ready"} 3`,
    `warren_subscription_messages{${whose},state="unacked"} 2`,
    `warren_subscription_messages{${whose},state="dead_letters"} 1`,
    `warren_subscription_consumers{${whose}} 4`,
    `warren_subscription_replicas{${whose},state="current"} 1`,
    `warren_subscription_replicas{${whose},state="desired"} 5`,
  ]);

  subscriptions.set('full', { ...loyalty, ready: false, messages: { deadLetters: 0 } });
  subscriptions.delete('new');
  expect(await read()).toEqual([
    `warren_subscription_ready{${whose}} 0`,
    `warren_subscription_messages{${whose},state="dead_letters"} 0`,
  ]);
});
