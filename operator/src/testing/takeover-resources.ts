/** For tests without a broker: subscriptions by what their annotations and status say. */
import { plainSpec } from '@warren/topology/testing';
import { FINALIZER } from '../resources.ts';
import type { SubscriptionResource, SubscriptionStatus } from '../resources.ts';

/** @param key `namespace/name` */
export function subscriptionOf(
  key: string,
  annotations: Record<string, string> = {},
  more: { status?: SubscriptionStatus; finalizers?: string[]; broker?: string; type?: 'stream' } = {},
): SubscriptionResource {
  const [namespace = '', name = ''] = key.split('/');
  const { status = {}, finalizers = [FINALIZER], broker = 'default', type } = more;
  return {
    metadata: { namespace, name, annotations, finalizers },
    spec: {
      ...plainSpec,
      brokerRef: { name: broker },
      ...(type === undefined ? {} : { queue: { ...plainSpec.queue, type } }),
    },
    status,
  };
}
