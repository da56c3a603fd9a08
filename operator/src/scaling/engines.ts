/**
 * What an engine is given: an object of its own kind that makes the workload follow `warren-desired-replicas`. Pure.
 *
 * The metric is the number of replicas itself and its target 1 for each replica, so the autoscaler's arithmetic,
 * ceil(value / target), gives that very number. Every field that the API server would add is written, so that equal is equal.
 */
import { createHash } from 'node:crypto';
import { controllerReference } from '@warren/controller';
import type { KubernetesObject } from '@warren/controller';
import { METRIC, METRIC_LABEL } from '../external-metrics/api.ts';
import { API_VERSION } from '../resources.ts';
import type { SubscriptionResource } from '../resources.ts';
import type { Limits } from './demand.ts';

export type Engine = 'Hpa' | 'Keda';

/** Marks what the operator made, so that it need not watch anybody else's. KEDA hands it on to its own autoscaler. */
export const SCALING_LABEL = 'warren.events/scaling';

export interface EngineObject extends KubernetesObject {
  apiVersion: string;
  kind: string;
  spec: Record<string, unknown>;
}

export interface EngineSettings {
  /** The autoscaler knows `tolerance` (Kubernetes 1.35); before, it leaves differences of a tenth alone. */
  tolerance: boolean;
  /** Where KEDA reads a number: `http://warren.warren-system.svc/scaling`. */
  url: string;
}

/** KEDA calls its own autoscaler `keda-hpa-<name>`, and takes no name of one that is longer than a label may be. */
const KEDA_NAME_LENGTH = 63 - 'keda-hpa-'.length;

export function scalingNameOf(engine: Engine, { metadata }: Pick<SubscriptionResource, 'metadata'>): string {
  const name = `${metadata.name}-scaling`;
  if (engine === 'Hpa' || name.length <= KEDA_NAME_LENGTH) return name;
  const hash = createHash('sha256').update(metadata.name).digest('hex').slice(0, 8);
  return `${metadata.name.slice(0, KEDA_NAME_LENGTH - hash.length - 1)}-${hash}`;
}

export function engineObject(
  engine: Engine,
  resource: SubscriptionResource,
  limits: Limits,
  settings: EngineSettings,
): EngineObject {
  return engine === 'Hpa'
    ? horizontalPodAutoscaler(resource, limits, settings)
    : scaledObject(resource, limits, settings);
}

function horizontalPodAutoscaler(
  resource: SubscriptionResource,
  limits: Limits,
  settings: EngineSettings,
): EngineObject {
  return {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: metadataOf('Hpa', resource),
    spec: {
      scaleTargetRef: targetOf(resource),
      // The autoscaler knows no zero: to it and from it goes the operator itself (scaler.ts).
      minReplicas: Math.max(1, limits.min),
      maxReplicas: limits.max,
      metrics: [
        {
          type: 'External',
          external: {
            metric: { name: METRIC, selector: { matchLabels: { [METRIC_LABEL]: resource.metadata.name } } },
            target: { type: 'AverageValue', averageValue: '1' },
          },
        },
      ],
      behavior: behaviourOf(limits, settings),
    },
  };
}

/** `metrics-api`: KEDA reads our number over HTTP. Its own RabbitMQ scaler takes a missing count for a zero (ADR 0018). */
function scaledObject(
  resource: SubscriptionResource,
  limits: Limits,
  settings: EngineSettings,
): EngineObject {
  const { namespace = '', name } = resource.metadata;
  return {
    apiVersion: 'keda.sh/v1alpha1',
    kind: 'ScaledObject',
    metadata: metadataOf('Keda', resource),
    spec: {
      scaleTargetRef: targetOf(resource),
      pollingInterval: 5,
      cooldownPeriod: quietSeconds(limits),
      minReplicaCount: limits.min,
      maxReplicaCount: limits.max,
      advanced: { horizontalPodAutoscalerConfig: { behavior: behaviourOf(limits, settings) } },
      triggers: [
        {
          type: 'metrics-api',
          metricType: 'AverageValue',
          metadata: {
            url: `${settings.url}/${namespace}/${name}`,
            valueLocation: 'desired',
            targetValue: '1',
            activationTargetValue: '0',
          },
        },
      ],
    },
  };
}

/** Up at once to what is needed; down only to the most that was needed in a while, so that a backlog is drained at full speed. */
function behaviourOf(limits: Limits, { tolerance }: EngineSettings): Record<string, unknown> {
  const exact = tolerance ? { tolerance: '0' } : {};
  return {
    scaleUp: {
      stabilizationWindowSeconds: 0,
      selectPolicy: 'Max',
      policies: [{ type: 'Pods', value: limits.max, periodSeconds: 15 }],
      ...exact,
    },
    scaleDown: {
      stabilizationWindowSeconds: quietSeconds(limits),
      selectPolicy: 'Max',
      policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }],
      ...exact,
    },
  };
}

/** How long fewer must have been enough: as long as a backlog may take. */
export function quietSeconds({ drainWithinSeconds }: Limits): number {
  return Math.min(3_600, Math.max(60, Math.ceil(drainWithinSeconds)));
}

function targetOf({ spec }: SubscriptionResource): Record<string, string> {
  return {
    apiVersion: 'apps/v1',
    kind: spec.consumer?.kind ?? 'Deployment',
    name: spec.consumer?.name ?? '',
  };
}

function metadataOf(engine: Engine, resource: SubscriptionResource): KubernetesObject['metadata'] {
  const { namespace, name } = resource.metadata;
  return {
    name: scalingNameOf(engine, resource),
    ...(namespace === undefined ? {} : { namespace }),
    labels: { [SCALING_LABEL]: name.slice(0, 63), 'app.kubernetes.io/managed-by': 'warren-operator' },
    ownerReferences: [controllerReference({ ...resource, apiVersion: API_VERSION }, subscriptionReference)],
  };
}

const subscriptionReference = {
  ...{ group: 'warren.events', version: 'v1alpha1', kind: 'EventSubscription' },
  ...{ plural: 'eventsubscriptions', namespaced: true },
};
