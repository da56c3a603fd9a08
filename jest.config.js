/** One jest run, one project a kind of test: the suffix of a test file says what it needs to run. */
const common = {
  rootDir: import.meta.dirname,
  testEnvironment: 'node',
  testEnvironmentOptions: { customExportConditions: ['warren-source', 'node', 'node-addons'] },
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: { target: 'es2024', parser: { syntax: 'typescript' } },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
  modulePathIgnorePatterns: ['/dist/', '/.cache/', '/.local/'],
};

const suffix = (name) => `<rootDir>/**/*.${name}.test.ts`;

export default {
  projects: [
    { ...common, displayName: 'unit', testMatch: [suffix('unit')] },
    { ...common, displayName: 'contract', testMatch: [suffix('contract')] },
    { ...common, displayName: 'int', testMatch: [suffix('int')] },
    { ...common, displayName: 'e2e', testMatch: [suffix('e2e')] },
    // Needs a KEDA, which is built for a quarter of an hour: npm run test:keda, not npm test.
    { ...common, displayName: 'keda', testMatch: [suffix('keda')] },
    // Needs nodes and pods: npm run test:cluster; npm test has all but the longest.
    { ...common, displayName: 'cluster', testMatch: [suffix('cluster')] },
  ],
  testTimeout: 60_000,
};
