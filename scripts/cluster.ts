/** What `npm start -- --kubernetes` asks of the API server, through kubectl as a person would. */
import { spawn } from 'node:child_process';

/** kubectl said no; the message has what it said. Code WARREN_KUBECTL. */
export class KubectlError extends Error {
  override readonly name = 'KubectlError';
  readonly code = 'WARREN_KUBECTL';
}

export interface Kubectl {
  (args: readonly string[], input?: string): Promise<string>;
}

/** Runs kubectl with a kubeconfig; gives back what it wrote. */
export function kubectlFor(kubeconfig: string): Kubectl {
  return (args, input = '') =>
    new Promise((resolve, reject) => {
      const child = spawn('kubectl', args, {
        env: { ...process.env, KUBECONFIG: kubeconfig },
        stdio: ['pipe', 'pipe', 'pipe'],
        timeout: 60_000,
      });
      let out = '';
      let wrong = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
      child.stderr.setEncoding('utf8').on('data', (text: string) => (wrong += text));
      child.once('error', (error) => reject(new KubectlError(`kubectl could not be run: ${error.message}`)));
      child.once('close', (code) => {
        if (code === 0) resolve(out);
        else reject(new KubectlError(`kubectl ${args.join(' ')} failed: ${wrong.trim()}`));
      });
      child.stdin.on('error', () => undefined).end(input);
    });
}

export interface BrokerSecret {
  readonly namespace: string;
  readonly name: string;
  readonly amqpUrl: string;
  readonly managementUrl: string;
}

/** CRDs, the samples (a kustomization) with their namespaces, and the broker's Secret: all that a new cluster needs. */
export async function applyShop(
  kubectl: Kubectl,
  options: { crds: string; samples: string; secrets: readonly BrokerSecret[] },
): Promise<void> {
  const { crds, samples, secrets } = options;
  await kubectl(['apply', '-f', crds]);
  await kubectl(['wait', '--for=condition=Established', '--timeout=30s', '-f', crds]);
  await kubectl(['apply', '-k', samples]);
  const items = secrets.map(({ namespace, name, amqpUrl, managementUrl }) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { namespace, name },
    stringData: { uri: amqpUrl, 'management-uri': managementUrl },
  }));
  // By standard input and server-side: a password belongs neither into an argument nor into an annotation.
  const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
  await kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], list);
}
