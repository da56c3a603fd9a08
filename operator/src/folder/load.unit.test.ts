import { describe, expect, test } from '@jest/globals';
import { validatorOf } from '../validation/crd.ts';
import { describeProblem } from './document.ts';
import { loadFiles } from './load.ts';

/** A small kind with every keyword that Warren's own CRDs use. */
const subscription = validatorOf({
  spec: {
    group: 'warren.events',
    scope: 'Namespaced',
    names: { kind: 'EventSubscription' },
    versions: [
      {
        name: 'v1alpha1',
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: 'object',
            required: ['spec'],
            properties: {
              spec: {
                type: 'object',
                required: ['events'],
                'x-kubernetes-validations': [
                  { rule: 'self.queue == oldSelf.queue', message: 'queue cannot be changed' },
                  {
                    rule: "self.mode != 'Strict' || self.prefetch <= 10",
                    message: 'Strict takes a prefetch of at most 10',
                    fieldPath: '.prefetch',
                  },
                ],
                properties: {
                  events: {
                    type: 'array',
                    minItems: 1,
                    maxItems: 3,
                    items: {
                      type: 'string',
                      'x-kubernetes-validations': [
                        {
                          rule: "self.matches('^[A-Z]')",
                          messageExpression: "'write ' + self + ' in PascalCase'",
                        },
                      ],
                    },
                  },
                  prefetch: { type: 'integer', minimum: 1, default: 50 },
                  mode: { type: 'string', enum: ['None', 'Strict'], default: 'None' },
                  queue: { type: 'string', maxLength: 5, default: 'q' },
                  retry: {
                    type: 'object',
                    default: {},
                    properties: { attempts: { type: 'integer', default: 5 } },
                  },
                },
              },
              status: { type: 'object', properties: {} },
            },
          },
        },
      },
    ],
  },
});
const validators = new Map([['EventSubscription', subscription]]);

const load = (text: string, inForce?: unknown) =>
  loadFiles([{ file: 'samples/loyalty.yaml', text }], validators, () => inForce);

const problems = (text: string, inForce?: unknown) => load(text, inForce).problems.map(describeProblem);

const valid = `apiVersion: warren.events/v1alpha1
kind: EventSubscription
metadata:
  name: loyalty
  namespace: shop
spec:
  events: [OrderPlaced]
`;

describe('a valid document', () => {
  test('gets the defaults of the schema, nested ones too', () => {
    const loaded = load(valid);
    expect(loaded.problems).toEqual([]);
    expect(loaded.resources.get('EventSubscription shop/loyalty')?.resource['spec']).toEqual({
      events: ['OrderPlaced'],
      prefetch: 50,
      mode: 'None',
      queue: 'q',
      retry: { attempts: 5 },
    });
  });

  test('without a namespace is in default, as with kubectl', () => {
    const loaded = load(valid.replace('  namespace: shop\n', ''));
    expect([...loaded.resources.keys()]).toEqual(['EventSubscription default/loyalty']);
  });

  test('may merge a map into another, as with kubectl', () => {
    const loaded = load(
      valid.replace(
        'spec:\n  events: [OrderPlaced]\n',
        'spec:\n  retry: &retry { attempts: 3 }\n  <<: { events: [OrderPlaced], retry: *retry }\n',
      ),
    );
    expect(loaded.problems).toEqual([]);
    expect(loaded.resources.get('EventSubscription shop/loyalty')?.resource['spec']).toMatchObject({
      events: ['OrderPlaced'],
      retry: { attempts: 3 },
    });
  });

  test('is taken out of a List, as kubectl writes it, and its mistakes are named at their place', () => {
    const item = (text: string) => text.trimEnd().replaceAll('\n', '\n    ');
    const loaded = load(
      `apiVersion: v1\nkind: List\nitems:\n  - ${item(valid)}\n  - ${item(valid.replace('loyalty', 'points').replace('  events:', '  evens:'))}\n`,
    );
    expect([...loaded.resources.keys()]).toEqual(['EventSubscription shop/loyalty']);
    expect(loaded.problems.map(describeProblem)).toContain(
      'samples/loyalty.yaml:17: unknown field "spec.evens"',
    );
  });

  test('is taken beside others in one file, and beside documents of other groups', () => {
    const loaded = load(
      `apiVersion: v1\nkind: Namespace\nmetadata: { name: shop }\n---\n${valid}---\n${valid.replace('loyalty', 'points')}`,
    );
    expect(loaded.problems).toEqual([]);
    expect([...loaded.resources.keys()]).toEqual([
      'EventSubscription shop/loyalty',
      'EventSubscription shop/points',
    ]);
  });
});

describe('a mistake is named by file, line and the sentence of the API server', () => {
  test.each([
    ['an unknown field', '  prefetchh: 3', 8, 'unknown field "spec.prefetchh"'],
    [
      'a negative number',
      '  prefetch: -1',
      8,
      'spec.prefetch: Invalid value: -1: spec.prefetch in body should be greater than or equal to 1',
    ],
    [
      'a wrong type',
      '  prefetch: many',
      8,
      'spec.prefetch: Invalid value: "string": spec.prefetch in body must be of type integer: "string"',
    ],
    [
      'a word that is not offered',
      '  mode: Sloppy',
      8,
      'spec.mode: Unsupported value: "Sloppy": supported values: "None", "Strict"',
    ],
    ['a text that is too long', '  queue: aaaaaa', 8, 'spec.queue: Too long: may not be more than 5 bytes'],
    [
      'a broken rule, at the field it names',
      '  mode: Strict\n  prefetch: 20',
      9,
      'spec.prefetch: Invalid value: Strict takes a prefetch of at most 10',
    ],
    ['a key twice', '  events: [B]', 8, 'not valid YAML: Map keys must be unique'],
  ])('%s', (_what, lines, line, sentence) => {
    expect(problems(`${valid}${lines}\n`)).toEqual([`samples/loyalty.yaml:${line}: ${sentence}`]);
  });

  test('an empty list', () => {
    expect(problems(valid.replace('[OrderPlaced]', '[]'))).toEqual([
      'samples/loyalty.yaml:7: spec.events: Invalid value: 0: spec.events in body should have at least 1 items',
    ]);
  });

  test('a rule on an item names the item, its value and its line', () => {
    expect(problems(valid.replace('[OrderPlaced]', '\n    - OrderPlaced\n    - orderPlaced'))).toEqual([
      'samples/loyalty.yaml:9: spec.events[1]: Invalid value: "orderPlaced": write orderPlaced in PascalCase',
    ]);
  });

  test('a missing field is named where it should be', () => {
    expect(problems(valid.replace('  events: [OrderPlaced]', '  prefetch: 3'))).toEqual([
      'samples/loyalty.yaml:6: spec.events: Required value',
    ]);
  });

  test('a change that a rule forbids, compared with what is in force', () => {
    expect(problems(`${valid}  queue: other\n`, { spec: { queue: 'q' } })).toEqual([
      'samples/loyalty.yaml:6: spec: Invalid value: queue cannot be changed',
    ]);
  });

  test('a kind that there is not', () => {
    expect(problems(valid.replace('kind: EventSubscription', 'kind: EventSubscriptoin'))[0]).toMatch(
      /^samples\/loyalty\.yaml:2: no matches for kind "EventSubscriptoin" in version "warren\.events\/v1alpha1"/,
    );
  });

  test('a name that Kubernetes would not take', () => {
    expect(problems(valid.replace('name: loyalty', 'name: Loyalty'))[0]).toMatch(
      /^samples\/loyalty\.yaml:4: metadata\.name: Invalid value: "Loyalty": a lowercase RFC 1123 subdomain/,
    );
  });
});

describe('a mistake takes nothing away', () => {
  test('a resource with a mistake is held, the others of its file are taken', () => {
    const loaded = load(`${valid}---\n${valid.replace('loyalty', 'points')}  prefetch: -1\n`);
    expect([...loaded.resources.keys()]).toEqual(['EventSubscription shop/loyalty']);
    expect([...loaded.held]).toEqual(['EventSubscription shop/points']);
    expect([...loaded.heldFiles]).toEqual([]);
  });

  test('a file that is no YAML holds everything that came from it', () => {
    const loaded = load(`${valid}  retry: { attempts: \n`);
    expect([...loaded.heldFiles]).toEqual(['samples/loyalty.yaml']);
    expect(loaded.resources.size).toBe(0);
  });

  test('a document without a name holds its file', () => {
    expect([...load(valid.replace('  name: loyalty\n', '')).heldFiles]).toEqual(['samples/loyalty.yaml']);
  });
});

test('a resource that is described twice is refused, with both places', () => {
  const loaded = loadFiles(
    [
      { file: 'a.yaml', text: valid },
      { file: 'b.yaml', text: `# a comment\n${valid}` },
    ],
    validators,
    () => undefined,
  );
  expect(loaded.resources.size).toBe(0);
  expect(loaded.problems.map(describeProblem)).toEqual([
    'a.yaml:1: EventSubscription shop/loyalty is described twice: here and at b.yaml:2',
    'b.yaml:2: EventSubscription shop/loyalty is described twice: here and at a.yaml:1',
  ]);
});
