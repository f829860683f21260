import tseslint from 'typescript-eslint';

/**
 * The deterministic core: everything in broker-runtime except the adapters and the composition roots.
 * The clock, timers, randomness, sockets, files and threads reach it only through `ports/`, so a seed
 * replays a run exactly (design decision D6).
 */
const CORE = ['broker-runtime/src/**/*.ts'];
const EDGE = [
  'broker-runtime/src/adapters/**/*.ts',
  'broker-runtime/src/main.ts',
  'broker-runtime/src/main/**/*.ts',
];

const throughPorts = (what) => `${what} reaches the core only through ports/ (design decision D6).`;

const bannedGlobals = [
  'Date',
  'performance',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'clearTimeout',
  'clearInterval',
  'clearImmediate',
  'fetch',
  'crypto',
  'FinalizationRegistry',
].map((name) => ({ name, message: throughPorts(name) }));

const bannedModules = [
  'net',
  'tls',
  'dgram',
  'dns',
  'fs',
  'fs/promises',
  'http',
  'https',
  'http2',
  'worker_threads',
  'child_process',
  'cluster',
  'timers',
  'timers/promises',
  'perf_hooks',
  'os',
  'process',
].flatMap((name) => [name, `node:${name}`]);

export default tseslint.config(
  { ignores: ['**/dist/**', '**/node_modules/**', '.millrace/**', '.cache/**', 'examples/**'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/no-unnecessary-condition': [
        'error',
        { allowConstantLoopConditions: 'only-allowed-literals' },
      ],
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-extraneous-class': 'off',
      '@typescript-eslint/consistent-type-imports': 'error',
      eqeqeq: 'error',
      'no-console': 'error',
    },
  },
  {
    files: CORE,
    ignores: EDGE,
    rules: {
      'no-restricted-globals': ['error', ...bannedGlobals],
      'no-restricted-properties': [
        'error',
        { object: 'Math', property: 'random', message: throughPorts('Randomness') },
        { object: 'process', property: 'hrtime', message: throughPorts('The clock') },
        { object: 'process', property: 'nextTick', message: throughPorts('Scheduling') },
        { object: 'process', property: 'env', message: throughPorts('Configuration') },
      ],
      'no-restricted-imports': [
        'error',
        {
          paths: [
            ...bannedModules.map((name) => ({ name, message: throughPorts(name) })),
            ...['crypto', 'node:crypto'].map((name) => ({
              name,
              importNames: [
                'randomBytes',
                'randomUUID',
                'randomInt',
                'randomFill',
                'randomFillSync',
                'webcrypto',
                'getRandomValues',
              ],
              message: throughPorts('Randomness'),
            })),
          ],
        },
      ],
    },
  },
  {
    files: ['bin/**', 'scripts/**', 'bench/**', 'test/**', 'twin/**', 'broker-runtime/build.mjs'],
    rules: { 'no-console': 'off' },
  },
  { files: ['**/*.mjs'], ...tseslint.configs.disableTypeChecked },
);
