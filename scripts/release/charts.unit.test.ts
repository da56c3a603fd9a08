import { expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { withDefaults } from './charts.ts';

test('a chart keeps what it says about its values, and what it is not given', () => {
  const text =
    "# The operator.\nimage:\n  registry: '' # in front\n  tag: ''\n\nservices:\n  order:\n    replicas: 2\n  user: {}\n";
  const digest = 'sha256:0123';
  const changed = withDefaults(text, {
    image: { registry: 'registry.example' },
    service: { logLevel: 'debug' },
    services: { order: { image: { digest } }, user: { image: { digest } } },
  });
  expect(changed).toContain('# The operator.');
  expect(changed).toContain('# in front');
  expect(parse(changed)).toEqual({
    image: { registry: 'registry.example', tag: '' },
    service: { logLevel: 'debug' },
    services: { order: { replicas: 2, image: { digest } }, user: { image: { digest } } },
  });
});
