/** Every query of the dashboard, run against a real Prometheus that scrapes a shop at work. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  eventually,
  testEndpoints,
  testKubernetes,
  testPrometheus,
  type Prometheus,
} from '@warren/environment/testing';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { kubectlFor } from '../scripts/cluster.ts';
import { serviceNames } from '../scripts/shop.ts';
import { placeOrders } from './support/crowd.ts';
import { eventuallyHolds } from './support/eventually.ts';
import { refusedDomain, TestShop } from './support/test-shop.ts';

const monitoring = join(import.meta.dirname, '..', 'k8s', 'monitoring');

/** Queries that have no data in a shop where all is well, with the metric that they ask for, and why. */
const empty: Readonly<Record<string, { metric: string; because: string }>> = {
  'Publications that failed': { metric: 'warren_events_published_total', because: 'no publication fails' },
  Errors: { metric: 'http_request_duration_seconds', because: 'no request is answered 500' },
  Drift: { metric: 'warren_subscription_drift_found_total', because: 'nobody changes the broker by hand' },
  'Replicas, and how many there should be': {
    metric: 'warren_subscription_replicas',
    because: 'nothing scales without Kubernetes',
  },
  'Replicas, and how many there should be (B)': {
    metric: 'warren_subscription_replicas',
    because: 'nothing scales without Kubernetes',
  },
  'Backlog for each replica': {
    metric: 'warren_subscription_replicas',
    because: 'nothing scales without Kubernetes',
  },
  'Writes to the broker (B)': { metric: 'warren_subscription_steps_failed_total', because: 'no write fails' },
};

interface Panel {
  title: string;
  targets?: { refId: string; expr: string }[];
}

const { panels } = JSON.parse(await readFile(join(monitoring, 'grafana/dashboards/warren.json'), 'utf8')) as {
  panels: Panel[];
};
const queries = panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ refId, expr }): [string, string] => [refId === 'A' ? title : `${title} (${refId})`, expr]),
);

let shop: TestShop;
let prometheus: Prometheus;

beforeAll(async () => {
  shop = await TestShop.start({
    edit: {
      notification: (yaml) =>
        yaml.replace(/retry: .*/, 'retry: { attempts: 2, backoff: { initial: 1s, max: 1s } }'),
    },
  });
  prometheus = await testPrometheus(await configuration());
  // Everything is scraped once before anything happens: a rate needs a before.
  await eventually(
    async () => {
      const up = await ask<{ value: [number, string] }>('up');
      return up.length === serviceNames.length + 3 && up.every(({ value }) => value[1] === '1');
    },
    { intervalMs: 200 },
  );
  await Promise.all([
    placeOrders(shop, 40),
    shop.createUser('Eve', refusedDomain), // a retry, and then a dead letter
    fetch(`${shop.url('order')}/orders/none`), // 404
  ]);
}, 120_000);

afterAll(async () => {
  await prometheus[Symbol.asyncDispose]();
  await shop[Symbol.asyncDispose]();
}, 60_000);

/** prometheus.yml as it is, with the addresses of this run. */
async function configuration(): Promise<string> {
  const config = parse(await readFile(join(monitoring, 'prometheus.yml'), 'utf8')) as {
    global: { scrape_interval: string };
    scrape_configs: { job_name: string; static_configs: { targets: string[] }[] }[];
  };
  const { rabbitmq } = testEndpoints();
  const broker = rabbitmq.prometheus ?? `http://${new URL(rabbitmq.management).hostname}:15692/metrics`;
  const targets: Record<string, string[]> = {
    services: serviceNames.map((name) => new URL(shop.url(name)).host),
    operator: [new URL(shop.shop.url('operator')).host],
    rabbitmq: [new URL(broker).host],
    'rabbitmq-queues': [new URL(broker).host],
  };
  config.global.scrape_interval = '1s';
  for (const job of config.scrape_configs) job.static_configs = [{ targets: targets[job.job_name] ?? [] }];
  return stringify(config);
}

/** An instant query; `$__rate_interval` is Grafana's. */
async function ask<T = { value: [number, string] }>(query: string): Promise<T[]> {
  const url = new URL('/api/v1/query', prometheus.url);
  url.searchParams.set('query', query.replaceAll('$__rate_interval', '30s'));
  const response = await fetch(url, { signal: AbortSignal.timeout(10_000) });
  const { status, data, error } = (await response.json()) as {
    status: string;
    data: { result: T[] };
    error?: string;
  };
  if (status !== 'success') throw new Error(`${query}: ${error ?? status}`);
  return data.result;
}

describe('the dashboard', () => {
  test.each(queries.filter(([name]) => empty[name] === undefined))(
    'has data for: %s',
    async (_, expr) => {
      await eventuallyHolds(
        async () => {
          const values = (await ask(expr)).map(({ value }) => Number(value[1]));
          expect(values.some((value) => Number.isFinite(value))).toBe(true);
        },
        // What follows from forty orders takes its time where other suites use the machine too.
        { intervalMs: 500, timeoutMs: 60_000 },
      );
    },
    90_000,
  );

  test.each(Object.entries(empty))(
    'asks in vain for: %s, and for a metric that there is',
    async (name, { metric }) => {
      const expr = queries.find(([one]) => one === name)?.[1] ?? '';
      expect(expr).toContain(metric);
      expect(await ask(expr)).toEqual([]);
      const known = await fetch(new URL(`/api/v1/metadata?metric=${metric}`, prometheus.url));
      expect(Object.keys(((await known.json()) as { data: object }).data)).toEqual([metric]);
    },
  );

  test('counts what happened: the orders, the retry and the dead letter', async () => {
    await eventuallyHolds(
      async () => {
        const number = async (query: string) => Number((await ask(query))[0]?.value[1]);
        expect(
          await number('sum(warren_events_published_total{type="OrderPlaced",outcome="published"})'),
        ).toBe(40);
        expect(
          await number('sum(warren_consumer_retries_total{subscription="notification"})'),
        ).toBeGreaterThanOrEqual(1);
        expect(
          await number('sum(warren_dead_letters_total{subscription="notification",code="WARREN_MAIL"})'),
        ).toBe(1);
        expect(await number('warren_subscription_messages{name="notification",state="dead_letters"}')).toBe(
          1,
        );
      },
      { timeoutMs: 40_000, intervalMs: 500 },
    );
  });
});

describe('the manifests', () => {
  type Manifest = {
    kind: string;
    metadata: { name: string; namespace?: string };
    data?: Record<string, string>;
  };
  let yaml: string;
  let manifests: Manifest[];

  beforeAll(async () => {
    yaml = (await promisify(execFile)('kubectl', ['kustomize', monitoring])).stdout;
    manifests = parseAllDocuments(yaml).map((document) => document.toJS() as Manifest);
  });

  test('are made by kubectl kustomize, with the dashboard that is tested here', async () => {
    const deployments = manifests
      .filter(({ kind }) => kind === 'Deployment')
      .map(({ metadata }) => metadata.name);
    expect(deployments.sort()).toEqual(['grafana', 'jaeger', 'prometheus']);
    const dashboards = manifests.find(({ metadata }) => metadata.name.startsWith('grafana-dashboards-'));
    expect(JSON.parse(dashboards?.data?.['warren.json'] ?? '{}')).toEqual(
      JSON.parse(await readFile(join(monitoring, 'grafana/dashboards/warren.json'), 'utf8')),
    );
  });

  test('are taken by a real API server, every field of them', async () => {
    const kubectl = kubectlFor((await testKubernetes()).kubeconfig);
    const namespace = `monitoring-${process.pid}-${Date.now().toString(36)}`;
    await kubectl(['create', 'namespace', namespace]);
    try {
      const input = yaml.replaceAll('namespace: monitoring', `namespace: ${namespace}`);
      const said = await kubectl(['apply', '--dry-run=server', '--validate=strict', '-f', '-'], input);
      expect(said.trim().split('\n')).toHaveLength(manifests.length);
    } finally {
      await kubectl(['delete', 'namespace', namespace, '--wait=false']);
    }
  });
});
