import { expect, test } from '@jest/globals';
import { FINALIZER } from '../resources.ts';
import type { SubscriptionResource } from '../resources.ts';
import { subscriptionOf } from '../testing/takeover-resources.ts';
import { standAside } from './hands-off.ts';

const ago = (seconds: number) => new Date(Date.now() - seconds * 1_000).toISOString();
const releasing = {
  standing: 'releasing',
  to: { namespace: 'crm', name: 'points', key: 'crm/points' },
  begun: false,
} as const;

/** Of one that is being deleted, and released to one that does not begin: what was told of its end, if that has come. */
async function endOf(deletedAt: string, said: [reason: string, since: string], isEnding = false) {
  const [reason, lastTransitionTime] = said;
  const condition = {
    type: 'TopologyInSync',
    status: 'Unknown',
    reason,
    message: '',
    lastTransitionTime,
  } as const;
  const resource: SubscriptionResource = subscriptionOf(
    'shop/loyalty',
    {},
    { status: { conditions: [condition] } },
  );
  resource.metadata.deletionTimestamp = deletedAt;
  const told: string[] = [];
  const source = {
    subscriptions: { get: () => resource } as never,
    namespaceIsEnding: () => Promise.resolve(isEnding),
    writeSubscriptionStatus: () => Promise.resolve(false),
    letGo: () => Promise.resolve(),
    removeFinalizer: () => {
      resource.metadata.finalizers = [];
      return Promise.resolve();
    },
  };
  await standAside(resource, releasing, {
    source,
    abandonAfterMs: 600_000,
    tell: (_, story) => void told.push(story.reason),
  });
  expect(resource.metadata.finalizers).toEqual(told.includes('Abandoned') ? [] : [FINALIZER]);
  return told.at(-1);
}

test('a deletion waits ten minutes for a takeover to begin, and half a minute where the namespace is going', async () => {
  expect(await endOf(ago(590), ['Releasing', ago(3_600)])).toBeUndefined();
  expect(await endOf(ago(610), ['Releasing', ago(3_600)])).toBe('Abandoned');
  expect(await endOf(ago(20), ['Releasing', ago(3_600)], true)).toBeUndefined();
  expect(await endOf(ago(40), ['Releasing', ago(3_600)], true)).toBe('Abandoned');
});

test('one that has waited for its messages for hours, and is released then, gives the other one its time', async () => {
  expect(await endOf(ago(7_200), ['MessagesLeft', ago(7_200)])).not.toBe('Abandoned');
  expect(await endOf(ago(7_200), ['Releasing', ago(10)], true)).toBeUndefined();
  expect(await endOf(ago(7_200), ['Releasing', ago(610)])).toBe('Abandoned');
});
