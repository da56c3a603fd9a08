/**
 * OpenTelemetry: one SDK a process, started when `OTEL_EXPORTER_OTLP_ENDPOINT` is set and not loaded otherwise.
 *
 * Spans come from this package alone (see messaging-spans.ts and http.ts). The instrumentations that patch
 * libraries stay out: the one for amqplib still writes names of an older semantic convention.
 */
import { context, propagation, trace } from '@opentelemetry/api';
import type { Environment } from './settings.ts';
import { withTimeLimit } from './time-limit.ts';

/** The running SDK. */
export interface Telemetry {
  /** Sends what is left; gives up after `deadlineMs`. */
  stop(deadlineMs: number): Promise<void>;
}

const off: Telemetry = { stop: () => Promise.resolve() };
let running: Telemetry | undefined;

/** Starts the SDK when the environment asks for it. A second start in one process changes nothing. */
export async function startTelemetry(serviceName: string, env: Environment): Promise<Telemetry> {
  if (env['OTEL_EXPORTER_OTLP_ENDPOINT'] === undefined || env['OTEL_EXPORTER_OTLP_ENDPOINT'] === '')
    return off;
  if (running !== undefined) return off;
  // Loaded late: it costs a quarter of a second, and most starts do not need it.
  const { NodeSDK } = await import('@opentelemetry/sdk-node');
  const sdk = new NodeSDK({
    serviceName: env['OTEL_SERVICE_NAME'] ?? serviceName,
    metricReaders: [],
    logRecordProcessors: [],
    instrumentations: [],
  });
  sdk.start();
  const telemetry: Telemetry = {
    stop: async (deadlineMs) => {
      running = undefined;
      // A collector that is away must not fail or hold up a stop.
      await withTimeLimit('Sending the last spans', deadlineMs, () => sdk.shutdown()).catch(() => undefined);
      // The next start registers its own.
      trace.disable();
      context.disable();
      propagation.disable();
    },
  };
  running = telemetry;
  return telemetry;
}
