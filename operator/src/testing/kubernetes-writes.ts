/** For tests: what operators in this process send to the API server to change something, with path and body, as it goes out. */
import { channel } from 'node:diagnostics_channel';

interface Sent {
  request: { method: string; path: string; headers: unknown; body: unknown };
}

export interface KubernetesWrites extends Disposable {
  /** `PATCH /apis/warren.events/v1alpha1/eventbrokers/default/status?… {…}`, those of a Lease too. */
  readonly made: readonly string[];
}

/** Asking whether somebody may do something changes nothing. */
const ASKS = '/apis/authorization.k8s.io/';

export function recordKubernetesWrites(userAgent = 'warren-operator'): KubernetesWrites {
  const made: string[] = [];
  const requests = channel('undici:request:create');
  const note = (message: unknown) => {
    const { method, path, headers, body } = (message as Sent).request;
    const isOperators = Array.isArray(headers) && headers.includes(userAgent);
    if (!isOperators || method === 'GET' || path.startsWith(ASKS)) return;
    made.push(`${method} ${path} ${String(body)}`);
  };
  requests.subscribe(note);
  return { made, [Symbol.dispose]: () => requests.unsubscribe(note) };
}
