/**
 * `external.metrics.k8s.io/v1beta1` as far as a HorizontalPodAutoscaler needs it: discovery, and one metric. Pure.
 *
 *   GET /apis/external.metrics.k8s.io/v1beta1/namespaces/shop/warren-desired-replicas?labelSelector=subscription%3Dloyalty
 *
 * The value is the number of replicas that a subscription should have, out of its status: so every replica of the operator
 * answers the same, and what `kubectl get esub` shows is what is scaled by. What is not known is an error and not a zero:
 * the autoscaler then leaves everything as it is.
 */
export const GROUP = 'external.metrics.k8s.io';
const VERSION = 'v1beta1';
export const GROUP_VERSION = `${GROUP}/${VERSION}`;

/** The metric that the operator's HorizontalPodAutoscalers ask for. */
export const METRIC = 'warren-desired-replicas';
/** The label that says of which subscription. */
export const METRIC_LABEL = 'subscription';

export interface Answer {
  status: number;
  body: object;
}

/** What is known of a subscription: a number, or why there is none. */
export type MetricOf = (
  namespace: string,
  name: string,
) => { replicas: number } | { unknown: string } | undefined;

/** What a request wants to do, in the words of the authoriser. */
export type Attributes =
  | {
      resourceAttributes: {
        group: string;
        version: string;
        resource: string;
        namespace: string;
        verb: 'list';
      };
    }
  | { nonResourceAttributes: { path: string; verb: string } };

interface MetricRequest {
  namespace: string;
  metric: string;
}

export function attributesOf(method: string, path: string): Attributes {
  const asked = metricRequestOf(path);
  if (asked === undefined) return { nonResourceAttributes: { path, verb: method.toLowerCase() } };
  const { namespace, metric: resource } = asked;
  return { resourceAttributes: { group: GROUP, version: VERSION, resource, namespace, verb: 'list' } };
}

export function answerTo(
  { method, path, query }: { method: string; path: string; query: URLSearchParams },
  metricOf: MetricOf,
  now: Date,
): Answer {
  if (method !== 'GET') return failure(405, 'MethodNotAllowed', `only GET is served, not ${method}`);
  switch (path) {
    case '/apis':
      return { status: 200, body: { kind: 'APIGroupList', apiVersion: 'v1', groups: [group] } };
    case `/apis/${GROUP}`:
      return { status: 200, body: { kind: 'APIGroup', apiVersion: 'v1', ...group } };
    case `/apis/${GROUP_VERSION}`:
      return { status: 200, body: resourceList };
  }
  const asked = metricRequestOf(path);
  if (asked === undefined)
    return failure(404, 'NotFound', 'the server could not find the requested resource');
  if (asked.metric !== METRIC)
    return failure(404, 'NotFound', `there is no metric "${asked.metric}": ask for ${METRIC}`);
  const name = subscriptionIn(query.get('labelSelector') ?? '');
  if (name === undefined)
    return failure(
      400,
      'BadRequest',
      `say of which subscription: labelSelector=${METRIC_LABEL}=NAME, and nothing else`,
    );
  const found = metricOf(asked.namespace, name);
  if (found === undefined)
    return failure(
      404,
      'NotFound',
      `there is no EventSubscription ${asked.namespace}/${name} with spec.scaling`,
    );
  if ('unknown' in found) return failure(503, 'ServiceUnavailable', found.unknown);
  const item = {
    metricName: METRIC,
    metricLabels: { [METRIC_LABEL]: name },
    timestamp: now.toISOString().replace(/\.\d+Z$/, 'Z'),
    value: String(found.replicas),
  };
  return {
    status: 200,
    body: { kind: 'ExternalMetricValueList', apiVersion: GROUP_VERSION, metadata: {}, items: [item] },
  };
}

/** Kubernetes' own form of an error. */
export function failure(code: number, reason: string, message: string): Answer {
  return {
    status: code,
    body: { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code },
  };
}

const version = { groupVersion: GROUP_VERSION, version: VERSION };
const group = { name: GROUP, versions: [version], preferredVersion: version };
const resourceList = {
  kind: 'APIResourceList',
  apiVersion: 'v1',
  groupVersion: GROUP_VERSION,
  resources: [
    { name: METRIC, singularName: '', namespaced: true, kind: 'ExternalMetricValueList', verbs: ['get'] },
  ],
};

function metricRequestOf(path: string): MetricRequest | undefined {
  const prefix = `/apis/${GROUP_VERSION}/namespaces/`;
  if (!path.startsWith(prefix)) return undefined;
  const [namespace, metric, ...rest] = path.slice(prefix.length).split('/').map(decoded);
  if (rest.length > 0 || !namespace || !metric) return undefined;
  return { namespace, metric };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return '';
  }
}

function subscriptionIn(selector: string): string | undefined {
  return new RegExp(`^\\s*${METRIC_LABEL}\\s*==?\\s*([a-z0-9]([-a-z0-9]*[a-z0-9])?)\\s*$`).exec(
    selector,
  )?.[1];
}
