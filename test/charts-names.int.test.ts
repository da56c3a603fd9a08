/** The charts with names that YAML reads as something else where they are not quoted: 2026 is a number, and `on` is true. */
import { beforeAll, expect, test } from '@jest/globals';
import { chartTools, type Chart, type Tools } from './support/helm.ts';

let tools: Tools;

beforeAll(async () => {
  tools = await chartTools({ kubeconfig: '/dev/null' }); // nothing here asks an API server
}, 900_000);

const operator = {
  scaling: { enabled: true },
  serviceAccount: { name: '0x10' },
  networkPolicy: { metricsFrom: ['123'] },
  serviceMonitor: { enabled: true },
  dashboards: { enabled: true },
  priorityClassName: 'yes',
  topologySpread: ['1.5'],
  podLabels: { year: '2026' },
  env: { NO: 'x' },
  brokers: [
    {
      ...{ name: 'on', secretRef: { namespace: '1e3', name: '123' } },
      ...{ allowedNamespaces: ['456'], annotations: { year: '2026' } },
    },
  ],
};
const shop = {
  service: {
    ...{ priorityClassName: 'yes', topologySpread: ['1.5'], podLabels: { year: '2026' } },
    ...{ networkPolicy: { from: ['123'] }, serviceMonitor: { enabled: true } },
  },
  services: {
    on: { bindings: ['123'], env: { NO: 'x' }, secretEnv: { Y: { name: '1e3', key: '5' } } },
    off: { subscriptions: { '2026': { events: ['OrderPlaced'] } } },
    null: { publisher: {} },
  },
};

test.each<[Chart, string, object]>([
  ['warren', '2026', operator],
  ['warren', '2026', { scope: { namespace: '1e3' }, brokers: operator.brokers }],
  ['warren', '2026', { scope: { mode: 'Cluster' }, scaling: { enabled: true } }],
  ['shop', '1e3', shop],
])(
  'in the chart %s, in the namespace %s, every name and label stays text',
  async (chart, namespace, values) => {
    const manifests = await tools.template(chart, values, { namespace, release: '007' });
    const names = manifests.flatMap((manifest) => [...namesIn(manifest, manifest.kind)]);
    expect(names.filter(({ value }) => typeof value !== 'string')).toEqual([]);
    const written = new Set(names.map(({ value }) => value));
    for (const name of [
      '007',
      ...(chart === 'shop' ? ['on', 'off', 'null', '2026', '123', '1e3'] : ['2026']),
    ])
      expect(written).toContain(name);
  },
);

/** Of one thing each. */
const SINGLE = new Set([
  ...['name', 'namespace', 'secretName', 'serviceAccountName', 'policyName'],
  ...['priorityClassName', 'topologyKey'],
]);
/** Lists of names, and what maps them: labels, whatever selects by them, and annotations. */
const SEVERAL = new Set(['resourceNames', 'allowedNamespaces', 'labels', 'annotations', 'matchLabels']);

interface Named {
  path: string;
  value: unknown;
}

function* namesIn(value: unknown, path: string): Generator<Named> {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, one] of Object.entries(value as Record<string, unknown>)) {
    const at = `${path}.${key}`;
    if (SINGLE.has(key)) yield { path: at, value: one };
    else if (SEVERAL.has(key) || at === 'Service.spec.selector')
      for (const [of, each] of Object.entries(one as object)) yield { path: `${at}.${of}`, value: each };
    else yield* namesIn(one, at);
  }
}
