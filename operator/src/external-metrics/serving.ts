/**
 * Keeps what the external metrics API is served with: certificates in a Secret that all replicas of the operator share, their
 * authority in the APIService, and what the API server says of itself.
 *
 * Each replica does so on its own, also as a standby, since each serves. Who is slower in writing the Secret finds a conflict
 * and takes what the other wrote. Nothing is written while all is as it should be.
 */
import {
  AlreadyExistsError,
  ConflictError,
  createController,
  createReflector,
  watchSource,
} from '@warren/controller';
import { resources } from '@warren/controller';
import type {
  Cluster,
  Controller,
  ControllerMetrics,
  KubernetesObject,
  Log,
  Reflector,
  ResourceType,
  Result,
} from '@warren/controller';
import { GROUP } from './api.ts';
import { isUsable, LIFETIMES, renewAfterMs, renewed } from './certificates.ts';
import type { Certificates, Lifetimes } from './certificates.ts';
import { frontProxyOf } from './front-proxy.ts';
import type { FrontProxy } from './front-proxy.ts';

export interface Serving {
  certificates: Certificates;
  /** Undefined where the API server does not say whom to believe: then nobody is served. */
  frontProxy: FrontProxy | undefined;
}

export interface ServingOptions {
  cluster: Cluster;
  /** Where the operator lives. */
  namespace: string;
  /** Of the certificates. */
  secret: string;
  /** Through which the API server reaches the operator. */
  service: string;
  onChange: (serving: Serving) => void;
  lifetimes?: Lifetimes;
  metrics?: ControllerMetrics;
  log: Log;
}

/** Who answers for external metrics in this cluster. There is one for all. */
export type ApiService =
  { is: 'ours' } | { is: 'missing' } | { is: 'foreign'; service: string } | { is: 'unknown' };

interface Secret extends KubernetesObject {
  type?: string;
  data?: Record<string, string>;
}

interface ConfigMap extends KubernetesObject {
  data?: Record<string, string>;
}

interface ApiServiceObject extends KubernetesObject {
  spec: { service?: { namespace: string; name: string } | null; caBundle?: string };
}

const apiServiceType = {
  group: 'apiregistration.k8s.io',
  version: 'v1',
  kind: 'APIService',
  plural: 'apiservices',
  namespaced: false,
} as const satisfies ResourceType;

const API_SERVICE = `v1beta1.${GROUP}`;
const AUTHENTICATION = { namespace: 'kube-system', name: 'extension-apiserver-authentication' };
const LOOK_AGAIN_MS = 3_600_000;

export class ServingKeeper {
  readonly #options: ServingOptions;
  readonly #secret: Reflector<Secret>;
  readonly #apiService: Reflector<ApiServiceObject>;
  readonly #authentication: Reflector<ConfigMap>;
  readonly #controller: Controller;
  /** Our own write, until the watch has caught up. */
  #written: Certificates | undefined;

  constructor(options: ServingOptions) {
    this.#options = options;
    const { cluster, namespace, secret, metrics, log } = options;
    const one = <T extends KubernetesObject>(
      type: ResourceType,
      ref: { namespace?: string; name: string },
    ): Reflector<T> =>
      createReflector<T>({
        resource: cluster.resource<T>(type),
        namespace: ref.namespace,
        fieldSelector: `metadata.name=${ref.name}`,
        log,
      });
    this.#secret = one<Secret>(resources.secrets, { namespace, name: secret });
    this.#apiService = one<ApiServiceObject>(apiServiceType, { name: API_SERVICE });
    this.#authentication = one<ConfigMap>(resources.configMaps, AUTHENTICATION);
    this.#secret.onChange(() => (this.#written = undefined));
    this.#controller = createController({
      name: 'external-metrics',
      sources: [this.#secret, this.#apiService, this.#authentication].map((reflector) =>
        watchSource(reflector as Reflector<KubernetesObject>, { name: 'serving', map: () => ['serving'] }),
      ),
      reconcile: () => this.#reconcile(),
      reconcileTimeoutMs: 30_000,
      // It waits for the rights, or for the API server, as long as it takes.
      syncTimeoutMs: 2 ** 31 - 1,
      log,
      ...(metrics === undefined ? {} : { observer: metrics.controller('external-metrics') }),
    });
  }

  get apiService(): ApiService {
    if (!this.#apiService.hasSynced) return { is: 'unknown' };
    const found = this.#apiService.store.get(API_SERVICE);
    if (found === undefined) return { is: 'missing' };
    const { service } = found.spec;
    const { namespace, service: name } = this.#options;
    if (service?.namespace === namespace && service.name === name) return { is: 'ours' };
    return {
      is: 'foreign',
      service: service ? `${service.namespace}/${service.name}` : 'the API server itself',
    };
  }

  /** Calls back when somebody else answers for external metrics from now on. */
  onApiServiceChange(listener: () => void): () => void {
    return this.#apiService.onChange(listener);
  }

  async start(): Promise<void> {
    await this.#controller.start();
    // There may be none of the three to make it look.
    this.#controller.enqueue('serving');
  }

  async stop(): Promise<void> {
    await this.#controller.stop({ deadlineMs: 2_000 });
    await Promise.all([this.#secret, this.#apiService, this.#authentication].map((one) => one.stop()));
  }

  async #reconcile(): Promise<Result> {
    const { onChange } = this.#options;
    const certificates = await this.#certificates();
    await this.#publish(certificates['ca.crt']);
    const authentication = this.#authentication.store.get(
      `${AUTHENTICATION.namespace}/${AUTHENTICATION.name}`,
    );
    onChange({ certificates, frontProxy: frontProxyOf(authentication?.data) });
    return { requeueAfterMs: Math.max(100, Math.min(LOOK_AGAIN_MS, renewAfterMs(certificates, new Date()))) };
  }

  async #certificates(): Promise<Certificates> {
    const { cluster, namespace, secret: name, service, lifetimes = LIFETIMES, log } = this.#options;
    const seen = this.#secret.store.get(`${namespace}/${name}`);
    const there = this.#written ?? decoded(seen?.data);
    const now = new Date();
    const wanted = await renewed(there, [`${service}.${namespace}.svc`], now, lifetimes);
    if (wanted === there) return wanted;
    const secrets = cluster.resource<Secret>(resources.secrets);
    const { resourceVersion } = this.#written === undefined ? (seen?.metadata ?? {}) : {};
    const object: Secret = {
      metadata: {
        ...{ name, namespace, labels: { 'app.kubernetes.io/managed-by': 'warren-operator' } },
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
      },
      type: 'Opaque',
      data: encoded(wanted),
    };
    try {
      if (seen === undefined) await secrets.create(object);
      else await secrets.replace(object);
      log.info(
        { secret: `${namespace}/${name}` },
        'the certificates of the external metrics API were renewed',
      );
      this.#written = wanted;
      return wanted;
    } catch (error) {
      if (!(error instanceof ConflictError) && !(error instanceof AlreadyExistsError)) throw error;
      const other = decoded((await secrets.find({ name, namespace }))?.data);
      if (other === undefined || !isUsable(other, now)) throw error;
      return other;
    }
  }

  /** Tells the API server whom to believe. An APIService of somebody else's is left alone. */
  async #publish(authorities: string): Promise<void> {
    const found = this.#apiService.store.get(API_SERVICE);
    if (found === undefined || this.apiService.is !== 'ours') return;
    const caBundle = Buffer.from(authorities).toString('base64');
    if (found.spec.caBundle === caBundle) return;
    const { resourceVersion, uid } = found.metadata;
    await this.#options.cluster
      .resource<ApiServiceObject>(apiServiceType)
      .mergePatch({ name: API_SERVICE }, { metadata: { resourceVersion, uid }, spec: { caBundle } });
  }
}

function decoded(data: Record<string, string> | undefined): Certificates | undefined {
  if (data === undefined) return undefined;
  const texts = Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]);
  return Object.fromEntries(texts) as Certificates;
}

function encoded(certificates: Certificates): Record<string, string> {
  return Object.fromEntries(
    Object.entries(certificates).map(([key, value]: [string, string]) => [
      key,
      Buffer.from(value).toString('base64'),
    ]),
  );
}
