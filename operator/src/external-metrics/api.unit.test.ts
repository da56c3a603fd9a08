import { expect, test } from '@jest/globals';
import { answerTo, attributesOf } from './api.ts';
import type { MetricOf } from './api.ts';

const root = '/apis/external.metrics.k8s.io/v1beta1';
const metrics: MetricOf = (namespace, name) => {
  if (namespace !== 'shop') return undefined;
  return name === 'loyalty' ? { replicas: 3 } : { unknown: 'the broker does not tell' };
};
const ask = (path: string, labelSelector = 'subscription=loyalty', method = 'GET') =>
  answerTo({ method, path, query: new URLSearchParams({ labelSelector }) }, metrics, new Date(0));
const metric = `${root}/namespaces/shop/warren-desired-replicas`;

test('discovery tells of the group, its version and the metric', () => {
  expect(ask('/apis').body).toMatchObject({
    kind: 'APIGroupList',
    groups: [{ name: 'external.metrics.k8s.io' }],
  });
  expect(ask('/apis/external.metrics.k8s.io').body).toMatchObject({ kind: 'APIGroup' });
  expect(ask(root).body).toMatchObject({
    kind: 'APIResourceList',
    resources: [{ name: 'warren-desired-replicas', namespaced: true }],
  });
});

test('the metric is the number of replicas of the subscription that the label names', () => {
  for (const selector of ['subscription=loyalty', 'subscription==loyalty', ' subscription = loyalty '])
    expect(ask(metric, selector)).toMatchObject({
      status: 200,
      body: {
        items: [
          {
            metricName: 'warren-desired-replicas',
            metricLabels: { subscription: 'loyalty' },
            timestamp: '1970-01-01T00:00:00Z',
            value: '3',
          },
        ],
      },
    });
});

test('what is not known, not there or not understood is an error, never a number', () => {
  expect(ask(metric, 'subscription=payment')).toMatchObject({
    status: 503,
    body: { kind: 'Status', reason: 'ServiceUnavailable', message: 'the broker does not tell' },
  });
  expect(ask(`${root}/namespaces/other/warren-desired-replicas`).status).toBe(404);
  expect(ask(`${root}/namespaces/shop/queue-length`).status).toBe(404);
  expect(ask(metric, '').status).toBe(400);
  expect(ask(metric, 'subscription=loyalty,app=x').status).toBe(400);
  expect(ask(metric, 'subscription!=loyalty').status).toBe(400);
  expect(ask(metric, undefined, 'DELETE').status).toBe(405);
  for (const path of ['/', '/openapi/v2', `${root}/namespaces/shop`, `${metric}/x`, `${root}/namespaces/%/x`])
    expect(ask(path)).toMatchObject({ status: 404, body: { kind: 'Status' } });
});

test('the authoriser is asked for the metric in its namespace, and for a path otherwise', () => {
  expect(attributesOf('GET', metric)).toEqual({
    resourceAttributes: {
      ...{ group: 'external.metrics.k8s.io', version: 'v1beta1', verb: 'list' },
      ...{ resource: 'warren-desired-replicas', namespace: 'shop' },
    },
  });
  expect(attributesOf('GET', root)).toEqual({ nonResourceAttributes: { path: root, verb: 'get' } });
});
