/** What containers find in their environment when it is given as values: rendered by the real helm. */
import { beforeAll, expect, test } from '@jest/globals';
import { chartTools, type Chart, type Tools } from './support/helm.ts';
import { ofKind, podTemplates } from './support/manifests.ts';

let tools: Tools;

beforeAll(async () => {
  tools = await chartTools();
}, 900_000);

async function environmentOf(chart: Chart, name: string, values: object): Promise<Record<string, unknown>> {
  const deployments = ofKind(await tools.template(chart, values), 'Deployment');
  const [one] = podTemplates(deployments.filter(({ metadata }) => metadata.name === name));
  return Object.fromEntries(
    one!.pod.spec.containers[0]!.env!.map((variable) => [variable.name, variable.value]),
  );
}

const env = {
  ONE: 1,
  MILLION: 1_000_000,
  BELOW: -2_500_000,
  PART: 0.25,
  A_SWITCH: true,
  WORD: '1e+06',
  NONE: '',
};

test.each<[string, Chart, object]>([
  ['warren', 'warren', { env }],
  ['order', 'shop', { services: { order: { env } } }],
  ['payment', 'shop', { service: { env } }],
])('a variable of %s is what was written, a large number too', async (name, chart, values) => {
  const written = Object.fromEntries(Object.entries(env).map(([key, value]) => [key, String(value)]));
  expect(await environmentOf(chart, name, values)).toMatchObject(written);
});

test('an operator may be told to wait for a month', async () => {
  expect(await environmentOf('warren', 'warren', { abandonAfterSeconds: 2_592_000 })).toMatchObject({
    WARREN_ABANDON_AFTER_S: '2592000',
  });
});
