/**
 * A running KEDA without pods: its operator and its metrics adapter as processes beside an API server, with certificates that
 * a kubelet would mount. Its definitions, and the APIService that leads to the adapter, are for whoever starts it to apply.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { issue } from './authority.ts';
import type { Context } from './debian.ts';
import { kedaBinaries } from './keda.ts';
import { freePort } from './ports.ts';
import { accepts } from './rabbitmq.ts';
import type { RunFolder } from './run-folder.ts';

export interface KedaOptions {
  /** Of an API server that has KEDA's definitions. */
  kubeconfig: string;
  /** There, where its Secrets would lie and its Services be. */
  namespace: string;
  /** Takes the requests of its triggers, which name Services that nobody resolves here: `http://127.0.0.1:port`. */
  httpProxy: string;
}

export interface Keda extends AsyncDisposable {
  /** Of the adapter on this machine: where an APIService is to lead. */
  adapterPort: number;
  /** The name for which the adapter's certificate is: an APIService names this Service. */
  adapterService: string;
  /** The authority of that certificate: PEM. */
  authority: string;
  /** The whole log of its operator so far. */
  operatorLog(): string;
}

const ADAPTER = 'keda-metrics-apiserver';

export async function startKeda(
  folder: RunFolder,
  { kubeconfig, namespace, httpProxy }: KedaOptions,
  context: Context,
): Promise<Keda> {
  const binaries = await kedaBinaries(context);
  const certificates = folder.data('keda');
  const at = (file: string) => join(certificates, file);
  const operatorName = `keda-operator.${namespace}.svc`;
  const issued = await issue({
    ...{ authority: 'keda-ca', subject: operatorName },
    usages: ['serverAuth', 'clientAuth'],
    names: [operatorName, `${ADAPTER}.${namespace}.svc`],
  });
  writeFileSync(at('ca.crt'), issued.authority);
  writeFileSync(at('tls.crt'), issued.certificate);
  writeFileSync(at('tls.key'), issued.key, { mode: 0o600 });
  const env = {
    ...{ KUBECONFIG: kubeconfig, WATCH_NAMESPACE: '' },
    ...{ POD_NAMESPACE: namespace, KEDA_CLUSTER_OBJECT_NAMESPACE: namespace },
  };
  const [probes, grpc] = [await freePort(), await freePort()];
  const [port, metrics] = [await freePort(), await freePort()];

  await using stack = new AsyncDisposableStack();
  const operator = stack.use(
    await folder.start({
      name: 'keda-operator',
      command: [
        binaries.operator,
        ...['--metrics-bind-address=0', `--health-probe-bind-address=127.0.0.1:${probes}`],
        ...[`--metrics-service-bind-address=127.0.0.1:${grpc}`, `--cert-dir=${certificates}`],
        ...['--zap-log-level=info', '--zap-encoder=console'],
      ],
      // Go takes no proxy for the loopback address, where the API server is.
      env: { ...env, HTTP_PROXY: httpProxy, http_proxy: httpProxy, NO_PROXY: '', no_proxy: '' },
    }),
  );
  await operator.ready(
    async () =>
      (await fetch(`http://127.0.0.1:${probes}/readyz`, { signal: AbortSignal.timeout(5_000) })).ok &&
      (await accepts(grpc)),
    context.signal,
  );
  const adapter = stack.use(
    await folder.start({
      name: 'keda-adapter',
      command: [
        binaries.adapter,
        ...['--bind-address=127.0.0.1', `--secure-port=${port}`, `--port=${metrics}`],
        ...[`--cert-dir=${certificates}`, `--client-ca-file=${at('ca.crt')}`],
        ...[`--tls-cert-file=${at('tls.crt')}`, `--tls-private-key-file=${at('tls.key')}`],
        ...['lister', 'authentication', 'authorization'].map((what) => `--${what}-kubeconfig=${kubeconfig}`),
        ...[
          `--metrics-service-address=127.0.0.1:${grpc}`,
          `--metrics-service-grpc-authority=${operatorName}`,
        ],
      ],
      env,
    }),
  );
  await adapter.ready(() => accepts(port), context.signal);
  const owned = stack.move();
  return {
    ...{ adapterPort: port, adapterService: ADAPTER, authority: issued.authority },
    operatorLog: () => operator.log,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
