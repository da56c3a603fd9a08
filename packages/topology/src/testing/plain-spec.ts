/** For tests: what the API server makes of `spec: { events: [OrderPlaced] }`. */
import type { EventSubscriptionSpec } from '../spec.ts';

export const plainSpec: EventSubscriptionSpec = {
  events: ['OrderPlaced'],
  brokerRef: { name: 'default' },
  delivery: {
    prefetch: 50,
    ordering: 'None',
    retry: { attempts: 5, backoff: { initial: '1s', max: '1m' } },
    deadLetter: { maxAge: '14d' },
  },
  queue: { type: 'quorum' },
  startFrom: 'Now',
  deletionPolicy: 'DeleteWhenEmpty',
  driftPolicy: 'Repair',
};
