import js from '@eslint/js';
import prettier from 'eslint-config-prettier';
import tseslint from 'typescript-eslint';

/**
 * Which workspace packages each part of the house may import. Imports go one way:
 * topology, contracts <- rabbitmq, event-store, controller <- service, operator <- services.
 */
const house = {
  'packages/topology': ['contracts/routing-key'],
  'packages/contracts': [],
  'packages/rabbitmq': ['contracts', 'topology'],
  'packages/event-store': ['contracts'],
  'packages/controller': [],
  'packages/service': ['contracts', 'rabbitmq', 'event-store'],
  operator: ['topology', 'controller', 'rabbitmq'],
  environment: [],
  'services/*': ['contracts', 'event-store', 'service'],
};

const importing = (folder, files, allowed) => ({
  files: [`${folder}/src/${files}`],
  ignores: ['**/*.test.ts'],
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: [
          {
            regex: `^@warren/(?!(${['-', ...allowed].join('|')})$)`,
            message: `${folder} may import only: ${allowed.join(', ') || 'no workspace package'} (see eslint.config.js).`,
          },
          {
            regex: '^(\\.\\./)+(packages|services|operator|environment)/',
            message: 'Import a package by its name.',
          },
        ],
      },
    ],
  },
});

const direction = Object.entries(house).flatMap(([folder, allowed]) => [
  importing(folder, '**/*.ts', allowed),
  // What is for tests may import what the others have for tests.
  importing(folder, 'testing/**/*.ts', [...allowed, ...allowed.map((one) => `${one}/testing`)]),
]);

export default tseslint.config(
  { ignores: ['**/dist/', '.cache/', '.local/', '**/node_modules/', 'coverage/', 'charts/'] },
  js.configs.recommended,
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ['*.js'] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/no-unnecessary-condition': [
        'error',
        { allowConstantLoopConditions: 'only-allowed-literals' },
      ],
      'max-lines': ['error', { max: 400, skipBlankLines: true, skipComments: true }],
    },
  },
  ...direction,
  {
    files: ['**/*.test.ts', 'test/**/*.ts'],
    rules: {
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
    },
  },
  { files: ['*.js'], ...tseslint.configs.disableTypeChecked },
  prettier,
);
