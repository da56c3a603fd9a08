/** The matrix of values that the charts are tested with. */
import type { Chart } from './helm.ts';

export const digest = `sha256:${'0123456789abcdef'.repeat(4)}`;

export interface Given {
  name: string;
  chart: Chart;
  values: object;
  /** It renders ServiceMonitors, a kind of the Prometheus operator. */
  needsMonitoring?: boolean;
}

/** Values that people give; every one of them is rendered, looked at and shown to the API server. */
export const matrix: readonly Given[] = [
  { name: 'the operator as it comes', chart: 'warren', values: {} },
  { name: 'the operator for all namespaces', chart: 'warren', values: { scope: { mode: 'Cluster' } } },
  {
    name: 'the operator for one other namespace, with brokers of several',
    chart: 'warren',
    values: {
      scope: { namespace: 'default' },
      brokers: [
        {
          name: 'first',
          secretRef: { name: 'rabbitmq' },
          allowedNamespaces: ['shop'],
          annotations: { 'warren.events/adopt': 'true' },
          exchanges: { events: 'facts' },
          rateLimit: { requestsPerSecond: 50 },
        },
        { name: 'second', create: false, secretRef: { namespace: 'kube-system', name: 'theirs' } },
      ],
    },
  },
  {
    name: 'the operator with nothing that can be left out',
    chart: 'warren',
    values: {
      replicas: 1,
      brokers: [],
      rbac: { create: false },
      serviceAccount: { create: false, name: 'default' },
      podDisruptionBudget: { enabled: false },
      networkPolicy: { enabled: false },
      topologySpread: [],
    },
  },
  {
    name: 'the operator with everything',
    chart: 'warren',
    needsMonitoring: true,
    values: {
      image: { registry: 'registry.example/team/', tag: '9.9.9', digest, pullPolicy: 'Always' },
      imagePullSecrets: [{ name: 'pull' }],
      replicas: 3,
      env: { NODE_OPTIONS: '--max-old-space-size=256', A_NUMBER: 3, A_SWITCH: true },
      serviceAccount: { name: 'operator', annotations: { a: 'b' } },
      networkPolicy: { metricsFrom: ['monitoring'], egress: [{ ports: [{ port: 8443 }] }] },
      serviceMonitor: { enabled: true, labels: { release: 'prometheus' } },
      dashboards: { enabled: true },
      podAnnotations: { a: 'b' },
      podLabels: { team: 'events' },
      nodeSelector: { 'kubernetes.io/os': 'linux' },
      tolerations: [{ operator: 'Exists' }],
      affinity: { nodeAffinity: {} },
      priorityClassName: 'system-cluster-critical',
      podDisruptionBudget: { maxUnavailable: '50%' },
    },
  },
  {
    name: 'the operator that scales',
    chart: 'warren',
    values: { scaling: { enabled: true }, networkPolicy: { metricsFrom: ['keda'] } },
  },
  {
    name: 'the operator that scales by KEDA in all namespaces',
    chart: 'warren',
    values: { scope: { mode: 'Cluster' }, scaling: { enabled: true, apiService: false } },
  },
  { name: 'the shop as it comes', chart: 'shop', values: {} },
  {
    name: 'the shop without loyalty and with a service more',
    chart: 'shop',
    values: {
      services: {
        loyalty: { enabled: false },
        bestsellers: {
          image: { repository: 'team/bestsellers' },
          subscriptions: { bestsellers: { events: ['OrderPlaced'] } },
        },
        auditor: { bindings: ['audit-eu', 'audit-us'] },
      },
    },
  },
  {
    name: 'the shop with everything',
    chart: 'shop',
    needsMonitoring: true,
    values: {
      service: {
        image: { registry: 'registry.example/team', tag: '9.9.9' },
        imagePullSecrets: [{ name: 'pull' }],
        replicas: 3,
        telemetry: { endpoint: 'http://jaeger.monitoring:4318' },
        shutdown: { delaySeconds: 10, deadlineSeconds: 60 },
        serviceMonitor: { enabled: true, labels: { release: 'prometheus' } },
        podDisruptionBudget: { maxUnavailable: '25%' },
        service: { port: 8080, annotations: { a: 'b' } },
        port: 8000,
        nodeSelector: { 'kubernetes.io/os': 'linux' },
        tolerations: [{ operator: 'Exists' }],
        priorityClassName: 'system-cluster-critical',
        podLabels: { team: 'shop' },
        podAnnotations: { a: 'b' },
        networkPolicy: {
          from: ['ingress-nginx', 'monitoring'],
          ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0/8' } }] }],
          egress: [{ ports: [{ port: 8443 }] }],
        },
      },
      services: {
        order: {
          image: { digest },
          args: ['--verbose'],
          logLevel: 'debug',
          secretEnv: { TOKEN: { name: 'order', key: 'token' } },
          database: { secret: { name: 'order-database' } },
          subscriptions: {
            order: { scaling: { minReplicas: 1, maxReplicas: 5, drainWithin: '30s' } },
          },
        },
      },
    },
  },
];
