import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { plainSpec } from '@warren/topology/testing';
import { loadFiles } from '../folder/load.ts';
import { badInputs, goodSpecs } from '../testing/inputs.ts';
import { loadValidators } from './crd.ts';

const root = join(import.meta.dirname, '..', '..', '..');
const crds = join(root, 'charts', 'warren', 'crds');
const validators = loadValidators(readdirSync(crds).map((name) => join(crds, name)));
const load = (text: string, inForce?: unknown) =>
  loadFiles([{ file: 'probe.yaml', text }], validators, () => inForce);

/** A document of the kind, its first field of the spec at line 5. */
const document = (spec: string) =>
  `apiVersion: warren.events/v1alpha1\nkind: EventSubscription\nmetadata: { name: probe }\nspec:\n${spec.replaceAll(/^/gm, '  ')}\n`;

describe('a folder refuses, naming the line, and saying what to write', () => {
  test.each(badInputs)('$it', ({ yaml, says }) => {
    const { problems, resources } = load(yaml);
    const inOrder = (list: { line: number; sentence: string }[]) =>
      list.map(({ line, sentence }) => `${line}: ${sentence}`).sort();
    expect(inOrder(problems)).toEqual(inOrder(says));
    expect(resources.size).toBe(0);
  });

  test('another broker for a subscription that has one', () => {
    const inForce = { spec: { events: ['OrderPlaced'], brokerRef: { name: 'default' } } };
    const spec = 'events: [OrderPlaced]\nbrokerRef: { name: other }';
    expect(load(document(spec)).problems).toEqual([]);
    expect(load(document(spec), inForce).problems).toEqual([
      {
        file: 'probe.yaml',
        line: 6,
        sentence:
          'spec.brokerRef.name: Invalid value: "other": a subscription stays on its broker, where its messages are: ' +
          'make a new EventSubscription for another broker',
      },
    ]);
  });
});

describe('a folder accepts', () => {
  test.each(goodSpecs)('$it', ({ spec }) => {
    expect(load(document(spec)).problems).toEqual([]);
  });

  test('the samples', () => {
    const samples = join(root, 'k8s', 'samples');
    const files = readdirSync(samples).map((name) => ({
      file: name,
      text: readFileSync(join(samples, name), 'utf8'),
    }));
    const { problems, resources } = loadFiles(files, validators, () => undefined);
    expect(problems).toEqual([]);
    expect([...resources.keys()].sort()).toEqual([
      'EventBroker default',
      'EventPublisher shop/user',
      ...['event-log', 'loyalty', 'notification', 'order', 'payment'].map(
        (name) => `EventSubscription shop/${name}`,
      ),
    ]);
  });
});

test('what is left out gets the defaults of the design', () => {
  expect(
    load(document('events: [OrderPlaced]')).resources.get('EventSubscription default/probe')?.resource,
  ).toEqual({
    apiVersion: 'warren.events/v1alpha1',
    kind: 'EventSubscription',
    metadata: { name: 'probe', namespace: 'default' },
    spec: plainSpec,
  });
});
