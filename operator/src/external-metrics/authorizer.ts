/** Whether a requester may do something: the API server is asked, and its answer held for a few seconds. */
import type { Cluster } from '@warren/controller';
import { z } from 'zod';
import type { Attributes } from './api.ts';
import type { Requester } from './front-proxy.ts';

export type Authorize = (requester: Requester, attributes: Attributes) => Promise<boolean>;

/** As aggregated API servers do it by default. */
const HELD_MS = 10_000;
const HELD_AT_MOST = 1_000;

const review = z.object({ status: z.object({ allowed: z.boolean() }) });

export function createAuthorizer(
  cluster: Pick<Cluster, 'request'>,
  { heldMs = HELD_MS, now = () => performance.now() }: { heldMs?: number; now?: () => number } = {},
): Authorize {
  const held = new Map<string, { until: number; allowed: Promise<boolean> }>();
  const ask = async (requester: Requester, attributes: Attributes) => {
    const answer = await cluster.request({
      method: 'POST',
      path: '/apis/authorization.k8s.io/v1/subjectaccessreviews',
      body: {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SubjectAccessReview',
        spec: { ...requester, ...attributes },
      },
      repeatable: true,
      timeoutMs: 5_000,
    });
    return review.parse(answer).status.allowed;
  };
  return async (requester, attributes) => {
    const key = JSON.stringify([requester, attributes]);
    const known = held.get(key);
    if (known !== undefined && now() < known.until) return known.allowed;
    const allowed = ask(requester, attributes);
    held.delete(key);
    held.set(key, { until: now() + heldMs, allowed });
    const [eldest] = held.keys();
    if (held.size > HELD_AT_MOST && eldest !== undefined) held.delete(eldest);
    // An answer that did not come is not held.
    allowed.catch(() => {
      if (held.get(key)?.allowed === allowed) held.delete(key);
    });
    return allowed;
  };
}
