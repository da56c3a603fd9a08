/** Who asks whom to look again, as far as scaling is concerned. */
import { createController } from '@warren/controller';
import type { Controller, ControllerMetrics, Log } from '@warren/controller';
import type { Scaler, ScalerOptions } from './scaler.ts';
import type { ScalingCluster } from './scaling-cluster.ts';

export interface ScalingControllersOptions {
  scaler: Scaler;
  platform: ScalingCluster;
  metricsApi: ScalerOptions['metricsApi'];
  /** Writes the status of a subscription. */
  subscriptions: () => Controller;
  workers: number;
  metrics?: ControllerMetrics | undefined;
  log: Log;
}

export function scalingControllers(options: ScalingControllersOptions): {
  controllers: Controller[];
  lookAt: (key: string) => void;
} {
  const { scaler, platform, metricsApi, subscriptions, workers, metrics, log } = options;
  const observed = (name: string) => (metrics === undefined ? {} : { observer: metrics.controller(name) });
  const scaling = createController({
    name: 'scaling',
    reconcile: (key, context) => scaler.reconcile(key, context),
    sources: [...platform.changes],
    workers,
    reconcileTimeoutMs: 60_000,
    log,
    ...observed('scaling'),
  });
  const statistics = createController({
    name: 'statistics',
    reconcile: (broker, context) => scaler.sample(broker, context),
    sources: [],
    workers: 4,
    reconcileTimeoutMs: 60_000,
    log,
    ...observed('statistics'),
  });
  const lookAt = (key: string) => scaling.enqueue(key);
  platform.consumersOf = (workload) => scaler.consumersOf(workload);
  platform.onKedaChange(lookAt);
  metricsApi.onApiServiceChange(() => scaler.lookAtAll());
  scaler.lookAt = lookAt;
  scaler.sampleSoon = (broker) => statistics.enqueue(broker);
  scaler.say = (key) => subscriptions().enqueue(key);
  return { controllers: [scaling, statistics], lookAt };
}
