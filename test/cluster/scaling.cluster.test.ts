/** The operator's external metrics as the API server's aggregation and a real HorizontalPodAutoscaler ask for them. */
import { beforeAll, expect, test } from '@jest/globals';
import { eventually } from '@warren/environment/testing';
import { clusterShop, SHOP, SYSTEM, values, type ClusterShop } from './support.ts';

let shop: ClusterShop;

beforeAll(async () => {
  shop = await clusterShop();
}, 900_000);

const operator = (scaling: boolean) =>
  shop.helm(
    ['upgrade', 'warren', 'charts/warren', '--namespace', SYSTEM, '--wait', '--timeout=5m', '--reset-values'],
    { ...values.warren, scaling: { enabled: scaling } },
  );

test('with scaling switched on, the API server takes the metrics and the autoscaler acts on them', async () => {
  try {
    await operator(true);
    const available = ['--for=condition=Available', '--timeout=120s'];
    await shop.kubectl(['wait', 'apiservice/v1beta1.external.metrics.k8s.io', ...available]);
    await shop.kubectl([
      ...['patch', 'eventsubscription', 'loyalty', '--namespace', SHOP, '--type=merge', '--patch'],
      JSON.stringify({ spec: { scaling: { minReplicas: 1, maxReplicas: 3, engine: 'Hpa' } } }),
    ]);
    const active = await eventually(
      async () => {
        const said = await shop.kubectl([
          ...['get', 'hpa', 'loyalty-scaling', '--namespace', SHOP],
          '--output=jsonpath={.status.conditions[?(@.type=="ScalingActive")].reason}',
        ]);
        return said === 'ValidMetricFound' ? said : undefined;
      },
      { timeoutMs: 120_000, intervalMs: 1_000 },
    );
    expect(active).toBe('ValidMetricFound');
  } finally {
    await shop.kubectl([
      ...['patch', 'eventsubscription', 'loyalty', '--namespace', SHOP, '--type=merge', '--patch'],
      JSON.stringify({ spec: { scaling: null } }),
    ]);
    await operator(false);
  }
}, 600_000);
