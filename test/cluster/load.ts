/** Customers in a pod beside the shop (`customers.ts`), for as long as something is done to it. */
import { eventually } from '@warren/environment/testing';
import { fileOf, restrictedPod, SHOP, type ClusterShop } from './support.ts';

export interface Customers {
  placed: number;
  taken: number;
  /** Attempts that were not taken, each of which was followed by another. */
  refused: { at: number; what: string }[];
  /** Orders that were not taken for all patience. */
  lost: number;
}

export interface Verdict {
  orders: number;
  completed: number;
  /** What is wrong with which order: not completed, or not with each of its events once. */
  wrong: string[];
  points: number;
  expectedPoints: number;
}

export interface Load extends AsyncDisposable {
  now(): Promise<Customers>;
  /** No more orders; what came of all of them. */
  finish(): Promise<Customers & { verdict: Verdict }>;
}

let made = 0;

/** Resolves when the first orders are taken. `node`: where they live, so that another one can be drained. */
export async function startLoad(shop: ClusterShop, ordersPerSecond: number, node?: string): Promise<Load> {
  const name = `load-${process.pid}-${made}`;
  made += 1;
  const metadata = { name, namespace: SHOP };
  await shop.apply(
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata,
      data: { 'customers.ts': await fileOf('test/cluster/customers.ts') },
    },
    restrictedPod(
      name,
      {
        command: ['node', '/load/customers.ts'],
        env: Object.entries({ RATE: ordersPerSecond, RUN: `${name}-${Date.now().toString(36)}` }).map(
          ([key, value]) => ({ name: key, value: String(value) }),
        ),
        volumeMounts: [{ name: 'load', mountPath: '/load' }],
      },
      {
        volumes: [{ name: 'load', configMap: { name } }],
        ...(node === undefined ? {} : { nodeName: node }),
      },
    ),
  );
  const ask = <T>(path: string) => shop.raw<T>(`/api/v1/namespaces/${SHOP}/pods/${name}:3000/proxy/${path}`);
  const now = () => ask<Customers>('');
  const remove = async () => {
    await shop.kubectl(['delete', `pod/${name}`, `configmap/${name}`, '--namespace', SHOP, '--now']);
  };
  try {
    await eventually(async () => (await now()).taken > ordersPerSecond, {
      timeoutMs: 60_000,
      intervalMs: 500,
    });
  } catch (error) {
    await remove();
    throw error;
  }
  return {
    now,
    finish: async () => {
      await ask('finish');
      return eventually(
        async () => {
          const { verdict, ...rest } = await ask<Customers & { verdict?: Verdict }>('');
          return verdict === undefined ? undefined : { ...rest, verdict };
        },
        { timeoutMs: 300_000, intervalMs: 500 },
      );
    },
    [Symbol.asyncDispose]: remove,
  };
}
