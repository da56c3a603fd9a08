/**
 * The client of one API server: credentials, sockets, time limits and retries shared by all resource clients.
 */
import type { Clock } from './clock.ts';
import { ApiConnection } from './connection.ts';
import { NotFoundError } from './errors.ts';
import { Http } from './http.ts';
import type { ApiRequest } from './http.ts';
import type { Credentials } from './kubeconfig.ts';
import type { RequestObserver } from './metrics.ts';
import { apiVersionOf } from './object.ts';
import type { KubernetesObject, ResourceType } from './object.ts';
import { ResourceClient } from './resource-client.ts';
import type { ApplyOptions, CallOptions } from './resource-client.ts';

export interface ClusterOptions {
  /** A KubeConfig of @kubernetes/client-node. Default: $KUBECONFIG, then ~/.kube/config, then the pod's service account. */
  kubeConfig?: Credentials;
  /** Who owns the fields that are applied: stable for the life of the operator. */
  fieldManager: string;
  /** For each attempt; default 15,000. */
  requestTimeoutMs?: number;
  /** Attempts altogether; default 5. */
  attempts?: number;
  /** How long retries may take altogether; default 30,000. */
  retryWithinMs?: number;
  observer?: RequestObserver;
  clock?: Clock;
}

export interface Cluster extends AsyncDisposable {
  readonly fieldManager: string;
  resource<T extends KubernetesObject>(type: ResourceType): ResourceClient<T>;
  /** The resource that objects of a kind belong to, by discovery (remembered). Throws NotFoundError. */
  typeOf(object: KubernetesObject, options?: CallOptions): Promise<ResourceType>;
  /** Server-side apply of an object of any kind. */
  apply<T extends KubernetesObject>(object: T, options?: ApplyOptions): Promise<T>;
  /** Any other request; the answer's JSON, or its text where that is what the server sends. */
  request(request: ApiRequest): Promise<unknown>;
  /** Such as `{ major: '1', minor: '36', gitVersion: 'v1.36.3' }`. */
  version(options?: CallOptions): Promise<{ major: string; minor: string; gitVersion: string }>;
  /**
   * A hash of the CA that signs the API server's certificate: the same for everybody who talks to this cluster, and another
   * for another cluster. Undefined where it is one of the public ones. Throws CredentialsError.
   */
  authority(): Promise<string | undefined>;
  /** Ends every request and watch that is still open. */
  close(): Promise<void>;
}

interface ApiResourceList {
  resources: { name: string; kind: string; namespaced: boolean }[];
}

export function createCluster(options: ClusterOptions): Cluster {
  return new ClusterClient(options);
}

class ClusterClient implements Cluster {
  readonly fieldManager: string;
  readonly #connection: ApiConnection;
  readonly #http: Http;
  /** By apiVersion. */
  readonly #discovered = new Map<string, ResourceType[]>();

  constructor({
    kubeConfig,
    fieldManager,
    requestTimeoutMs,
    attempts,
    retryWithinMs,
    observer,
    clock,
  }: ClusterOptions) {
    this.fieldManager = fieldManager;
    this.#connection = new ApiConnection(kubeConfig, clock);
    this.#http = new Http(this.#connection, {
      userAgent: fieldManager,
      timeoutMs: requestTimeoutMs,
      attempts,
      withinMs: retryWithinMs,
      observer,
      clock,
    });
  }

  resource<T extends KubernetesObject>(type: ResourceType): ResourceClient<T> {
    return new ResourceClient<T>(this.#http, type, this.fieldManager);
  }

  async typeOf({ apiVersion, kind }: KubernetesObject, options: CallOptions = {}): Promise<ResourceType> {
    const find = () => this.#discovered.get(apiVersion ?? '')?.find((type) => type.kind === kind);
    // A custom resource definition may have come since.
    if (find() === undefined) await this.#discover(apiVersion ?? '', options);
    const type = find();
    if (type !== undefined) return type;
    throw new NotFoundError(
      `the API server knows no ${kind ?? 'object without a kind'} in ${apiVersion ?? 'no apiVersion'}`,
      {
        status: 404,
        request: 'discovery',
      },
    );
  }

  async apply<T extends KubernetesObject>(object: T, options: ApplyOptions = {}): Promise<T> {
    return this.resource<T>(await this.typeOf(object, options)).apply(object, options);
  }

  request(request: ApiRequest): Promise<unknown> {
    return this.#http.json(request);
  }

  async version(options: CallOptions = {}): Promise<{ major: string; minor: string; gitVersion: string }> {
    const answer = await this.#http.json({ method: 'GET', path: '/version', ...options });
    return answer as { major: string; minor: string; gitVersion: string };
  }

  async authority(): Promise<string | undefined> {
    return (await this.#connection.access()).authority;
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #discover(apiVersion: string, options: CallOptions): Promise<void> {
    const slash = apiVersion.indexOf('/');
    const group = slash < 0 ? '' : apiVersion.slice(0, slash);
    const version = apiVersion.slice(slash + 1);
    const path = `/${group === '' ? 'api' : `apis/${encodeURIComponent(group)}`}/${encodeURIComponent(version)}`;
    const { resources } = (await this.#http.json({ method: 'GET', path, ...options })) as ApiResourceList;
    this.#discovered.set(
      apiVersionOf({ group, version }),
      resources
        .filter(({ name }) => !name.includes('/'))
        .map(({ name, kind, namespaced }) => ({ group, version, kind, plural: name, namespaced })),
    );
  }
}
