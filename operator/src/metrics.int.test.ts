/** The dashboard on a real Prometheus that scrapes an operator of two replicas: each tells of every subscription. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { eventually, testPrometheus } from '@warren/environment/testing';
import { Registry } from 'prom-client';
import { createOperatorMetrics } from './metrics.ts';
import type { SubscriptionNumbers } from './metrics.ts';

const subscriptions: readonly SubscriptionNumbers[] = [
  {
    ...{ namespace: 'shop', name: 'loyalty', ready: true, consumers: 4 },
    messages: { ready: 3, unacked: 2, deadLetters: 1 },
    replicas: { current: 2, desired: 5 },
  },
  {
    ...{ namespace: 'shop', name: 'notification', ready: false, consumers: 0 },
    messages: { ready: 8, unacked: 0, deadLetters: 4 },
    replicas: { current: 0 },
  },
];

interface Target extends AsyncDisposable {
  host: string;
}

async function replica(): Promise<Target> {
  const registry = new Registry();
  createOperatorMetrics(registry, () => subscriptions);
  const server = createServer((_, response) => {
    response.setHeader('content-type', registry.contentType);
    void registry.metrics().then((text) => response.end(text));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.close().closeAllConnections();
      await once(server, 'close');
    },
  };
}

type Answer = { metric: Record<string, string>; value: [number, string] }[];

/** What a Prometheus answers that scrapes these. */
async function scraping(targets: readonly Target[]) {
  const config = {
    scrape_configs: [
      {
        ...{ job_name: 'operator', scrape_interval: '1s' },
        static_configs: [{ targets: targets.map(({ host }) => host) }],
      },
    ],
  };
  const prometheus = await testPrometheus(JSON.stringify(config));
  const ask = async (query: string): Promise<Answer> => {
    const url = new URL('/api/v1/query', prometheus.url);
    url.searchParams.set('query', query);
    const { data, error } = (await (await fetch(url)).json()) as {
      data?: { result: Answer };
      error?: string;
    };
    if (data === undefined) throw new Error(`${query}: ${error}`);
    return data.result;
  };
  await eventually(async () => {
    const up = await ask('up');
    return up.length === targets.length && up.every(({ value }) => value[1] === '1');
  });
  return { ask, [Symbol.asyncDispose]: () => prometheus[Symbol.asyncDispose]() };
}

/** One line for each series, by what a panel shows of it. */
const shown = (answer: Answer) =>
  answer
    .map(({ metric: { namespace, name, state }, value }) => ({ namespace, name, state, value: value[1] }))
    .map((one) => JSON.stringify(one))
    .sort();

test('a second replica of the operator changes nothing on the dashboard', async () => {
  const file = join(import.meta.dirname, '../../k8s/monitoring/grafana/dashboards/warren.json');
  const { panels } = JSON.parse(await readFile(file, 'utf8')) as {
    panels: { title: string; targets?: { expr: string }[] }[];
  };
  const queries = panels.flatMap(({ title, targets = [] }) =>
    targets
      .filter(({ expr }) => /warren_subscription_(ready|messages|consumers|replicas)/.test(expr))
      .map(({ expr }) => ({ title, expr })),
  );
  expect(queries.length).toBeGreaterThanOrEqual(9);
  await using leader = await replica();
  await using standby = await replica();
  await using alone = await scraping([leader]);
  await using both = await scraping([leader, standby]);
  for (const { title, expr } of queries) {
    const answer = shown(await alone.ask(expr));
    expect({ title, answer: answer.length }).not.toEqual({ title, answer: 0 });
    expect({ title, answer: shown(await both.ask(expr)) }).toEqual({ title, answer });
  }
});
