/** A process with an API server that holds `count` custom resources as an operator leaves them; prints its URL. */
import { FakeApiServer } from '@warren/controller/testing';

const count = Number(process.argv[2]);
const server = await FakeApiServer.start();
const owned = (fields: number) =>
  Object.fromEntries(
    Array.from({ length: fields }, (_, i) => [`f:field${i}`, { '.': {}, [`f:inner${i}`]: {} }]),
  );

for (let i = 0; i < count; i += 1) {
  const name = `subscription-${i}`;
  server.put(`/apis/example.com/v1/namespaces/team-${i % 20}/subscriptions/${name}`, {
    apiVersion: 'example.com/v1',
    kind: 'Subscription',
    metadata: {
      generation: 1,
      creationTimestamp: '2026-01-01T00:00:00Z',
      labels: { 'app.kubernetes.io/name': name },
      finalizers: ['example.com/queue'],
      managedFields: [
        { manager: 'kubectl', operation: 'Apply', fieldsV1: owned(30) },
        { manager: 'operator', operation: 'Apply', subresource: 'status', fieldsV1: owned(20) },
      ],
    },
    spec: {
      events: ['OrderPlaced', 'payment.*'],
      consumer: { kind: 'Deployment', name },
      delivery: { prefetch: 50, retry: { attempts: 5, backoff: { initial: '1s', max: '1m' } } },
      queue: { type: 'quorum', maxLength: 1_000_000 },
    },
    status: {
      observedGeneration: 1,
      queue: `team-${i % 20}.${name}`,
      conditions: ['Ready', 'InSync', 'Scaling', 'DeadLetters', 'Contracts'].map((type) => ({
        type,
        status: 'True',
        reason: 'AsExpected',
        message: `${type}: ${name} is as it should be.`,
        lastTransitionTime: '2026-01-01T00:00:00Z',
        observedGeneration: 1,
      })),
    },
  });
}
console.log(server.kubeConfig().getCurrentCluster()?.server);
