/** What the network policies of the charts let out: rendered by the real helm. */
import { beforeAll, describe, expect, test } from '@jest/globals';
import { chartTools, type Chart, type Tools } from './support/helm.ts';

let tools: Tools;

beforeAll(async () => {
  tools = await chartTools();
}, 900_000);

/** The ports that the pods of that name may call anywhere. */
async function portsOf(chart: Chart, name: string, values: object): Promise<number[]> {
  const manifests = await tools.template(chart, values);
  const policy = manifests.find((one) => one.kind === 'NetworkPolicy' && one.metadata.name === name);
  const { egress } = policy!.spec as { egress: { ports: { port: number }[] }[] };
  return egress.flatMap((rule) => rule.ports.map(({ port }) => port));
}

const rule = (port: number) => ({ ports: [{ port }] });

describe('the operator may call', () => {
  const ports = (networkPolicy: object) => portsOf('warren', 'warren', { networkPolicy });

  test('an API server on the port of its endpoints, whatever has made the cluster', async () => {
    // A managed one; kubeadm, kind and k3s; minikube; MicroK8s.
    expect(await ports({})).toEqual(expect.arrayContaining([443, 6443, 8443, 16443]));
  });

  test('what `egress` names, beside all of that', async () => {
    expect(await ports({ egress: [rule(8444)] })).toEqual([...(await ports({})), 8444]);
  });
});

describe('a service may call', () => {
  const broker = [5672, 5671];
  const mail = [25, 465, 587, 1025];

  test('what `egress` names for all of them, beside what it could before', async () => {
    const further = { service: { networkPolicy: { egress: [rule(27018)] } } };
    for (const name of ['order', 'notification'])
      expect((await portsOf('shop', name, further)).sort()).toEqual(
        [...(await portsOf('shop', name, {})), 27018].sort(),
      );
    expect(await portsOf('shop', 'notification', further)).toEqual(
      expect.arrayContaining([...broker, ...mail]),
    );
  });

  test('what `egress` of its own entry names, beside that of all', async () => {
    const values = {
      service: { networkPolicy: { egress: [rule(27018)] } },
      services: { order: { networkPolicy: { egress: [rule(9200)] } } },
    };
    expect(await portsOf('shop', 'order', values)).toEqual(expect.arrayContaining([...broker, 27018, 9200]));
    expect(await portsOf('shop', 'payment', values)).not.toContain(9200);
  });

  test('what takes the place of the ports of all, also where it has rules of its own', async () => {
    const ports = await portsOf('shop', 'notification', {
      service: { networkPolicy: { egressPorts: [5673] } },
    });
    expect(ports).toEqual(expect.arrayContaining([5673, ...mail]));
    expect(ports).not.toContain(5672);
  });
});
