/** `kubectl port-forward` as `npm run deploy` does it, on an API server without nodes: as far as the pod that it leads to. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { stringify } from 'yaml';
import { forward } from '../scripts/deploy/forward.ts';
import { chartTools, type Tools } from './support/helm.ts';

const namespace = `test-forward-${process.pid}`;
let tools: Tools;

beforeAll(async () => {
  tools = await chartTools();
  process.env['KUBECONFIG'] = tools.kubeconfig;
}, 900_000);

afterAll(async () => {
  await tools.kubectl(['delete', 'namespace', namespace, '--wait=false', '--ignore-not-found']);
});

async function kubectl(args: readonly string[], input?: string): Promise<void> {
  const { code, stderr } = await tools.kubectl(args, input === undefined ? {} : { input });
  if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr}`);
}

test('a service is reached by the name of its port, whatever the number', async () => {
  const name = 'order';
  const metadata = { name, namespace, labels: { name } };
  const containers = [{ name, image: 'none', ports: [{ name: 'http', containerPort: 3000 }] }];
  const ports = [{ name: 'http', port: 8080, targetPort: 'http' }];
  const manifests = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    { apiVersion: 'v1', kind: 'Service', metadata, spec: { selector: { name }, ports } },
    {
      ...{ apiVersion: 'v1', kind: 'Pod', metadata },
      spec: { serviceAccountName: name, nodeName: 'no-such-node', containers },
    },
  ];
  await kubectl(['create', '--filename=-'], manifests.map((one) => stringify(one)).join('---\n'));
  const running = JSON.stringify({ status: { phase: 'Running' } });
  await kubectl([
    ...['patch', 'pod', name, '--namespace', namespace],
    ...['--subresource=status', '--type=merge', '--patch', running],
  ]);
  // kubectl looks for the port in the Service before it asks the API server for a way to the pod's node.
  await expect(forward('kubectl', namespace, [name])).rejects.toThrow('no-such-node');
});
