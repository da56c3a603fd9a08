/** The same table as in the unit test, asked of a real API server: the two must say the same (ADR 0006). Nothing is stored. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { request } from 'node:https';
import type { RequestOptions } from 'node:https';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { KubeConfig } from '@kubernetes/client-node';
import { testKubernetes } from '@warren/environment/testing';
import { parse, parseAllDocuments } from 'yaml';
import { loadFiles } from '../folder/load.ts';
import { badInputs, goodSpecs } from '../testing/inputs.ts';
import { loadValidators } from './crd.ts';

const root = join(import.meta.dirname, '..', '..', '..');
const crds = join(root, 'charts', 'warren', 'crds');
const validators = loadValidators(readdirSync(crds).map((name) => join(crds, name)));

interface Answer {
  kind: string;
  metadata?: unknown;
  spec?: unknown;
  message?: string;
  details?: { causes?: { message: string; field: string }[] };
}

let kubeConfig: KubeConfig;

beforeAll(async () => {
  const { kubeconfig } = await testKubernetes();
  const kubectl = promisify(execFile);
  await kubectl('kubectl', [
    '--kubeconfig',
    kubeconfig,
    'apply',
    '--server-side',
    '--force-conflicts',
    '-f',
    crds,
  ]);
  await kubectl('kubectl', ['--kubeconfig', kubeconfig, 'wait', '--for=condition=Established', '-f', crds]);
  kubeConfig = new KubeConfig();
  kubeConfig.loadFromFile(kubeconfig);
});

interface Resource {
  kind: string;
  metadata: object;
}

async function call(method: string, path: string, body?: unknown): Promise<Answer> {
  const options: RequestOptions = {
    method,
    headers: { 'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json' },
  };
  await kubeConfig.applyToHTTPSOptions(options);
  const asked = request(new URL(path, kubeConfig.getCurrentCluster()?.server), options);
  asked.end(body === undefined ? undefined : JSON.stringify(body));
  const [response] = (await once(asked, 'response')) as [NodeJS.ReadableStream];
  return (await json(response)) as Answer;
}

const group = '/apis/warren.events/v1alpha1';

/** Creates nothing: a dry run with the field validation that kubectl asks for. */
function create(resource: Resource): Promise<Answer> {
  const plural = `${resource.kind.toLowerCase()}s`;
  const collection = resource.kind === 'EventBroker' ? plural : `namespaces/default/${plural}`;
  return call('POST', `${group}/${collection}?dryRun=All&fieldValidation=Strict`, resource);
}

function saidIn({ message = '', details }: Answer): string[] {
  const strict = /strict decoding error: (.*)$/.exec(message)?.[1];
  if (strict !== undefined) return strict.split(', ');
  return (
    (details?.causes ?? [])
      // What has no field repeats a sentence in other words, or says that rules were not looked at.
      .filter(({ field }) => field !== '<nil>')
      .map(({ field, message: said }) => `${field}: ${said}`)
  );
}

describe('an API server refuses with the sentences of the folder', () => {
  test.each(badInputs)('$it', async ({ yaml, says }) => {
    const answer = await create(parse(yaml) as Resource);
    expect(answer.kind).toBe('Status');
    expect(saidIn(answer).sort()).toEqual(says.map(({ sentence }) => sentence).sort());
  });
});

test('an API server refuses another broker for a subscription that has one', async () => {
  const namespace = `crd-${process.pid}-${Date.now().toString(36)}`;
  await call('POST', '/api/v1/namespaces', { metadata: { name: namespace } });
  try {
    const subscriptions = `${group}/namespaces/${namespace}/eventsubscriptions`;
    const metadata = { name: 'probe' };
    await call('POST', subscriptions, {
      apiVersion: 'warren.events/v1alpha1',
      kind: 'EventSubscription',
      metadata,
      spec: { events: ['OrderPlaced'] },
    });
    const answer = await call('PATCH', `${subscriptions}/probe?dryRun=All`, {
      spec: { brokerRef: { name: 'other' } },
    });
    expect(saidIn(answer)).toEqual([
      'spec.brokerRef.name: Invalid value: "other": a subscription stays on its broker, where its messages are: ' +
        'make a new EventSubscription for another broker',
    ]);
  } finally {
    await call('DELETE', `/api/v1/namespaces/${namespace}`);
  }
});

describe('an API server accepts, and fills in as a folder does', () => {
  const samples = join(root, 'k8s', 'samples');
  const resources = readdirSync(samples)
    .flatMap((name) => parseAllDocuments(readFileSync(join(samples, name), 'utf8')))
    .map((document) => document.toJS() as Resource & { apiVersion: string; metadata: { name: string } })
    .filter(({ apiVersion }) => apiVersion.startsWith('warren.events/'))
    .map((resource) => ({ it: `the sample ${resource.kind} ${resource.metadata.name}`, resource }));
  const specs = goodSpecs.map(({ it, spec }) => ({
    it,
    resource: {
      apiVersion: 'warren.events/v1alpha1',
      kind: 'EventSubscription',
      metadata: { name: 'probe' },
      spec: parse(spec) as unknown,
    },
  }));

  test.each([...resources, ...specs])('$it', async ({ resource }) => {
    const described = {
      ...resource,
      // The namespaces of the samples are not there.
      metadata: {
        name: resource.metadata.name,
        ...(resource.kind === 'EventBroker' ? {} : { namespace: 'default' }),
      },
    };
    const { spec, message } = await create(described);
    expect(message).toBeUndefined();
    const loaded = loadFiles(
      [{ file: 'probe', text: JSON.stringify(described) }],
      validators,
      () => undefined,
    );
    expect([...loaded.resources.values()].map((one) => one.resource['spec'])).toEqual([spec]);
  });
});
