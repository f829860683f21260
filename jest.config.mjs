import { availableParallelism } from 'node:os';

/** Tests run as CommonJS through SWC: fast, and no experimental module flags. */
export default {
  testEnvironment: 'node',
  // On two cores jest would leave one idle.
  maxWorkers: Math.max(2, Math.floor(availableParallelism() / 2)),
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  // Slow suites are commands of their own; see CONTRIBUTING.md.
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/test/(clients|chaos|slow)/'],
  transform: {
    '^.+\\.[cm]?[tj]s$': [
      '@swc/jest',
      {
        jsc: { parser: { syntax: 'typescript' }, target: 'es2024' },
        module: { type: 'commonjs' },
      },
    ],
  },
  transformIgnorePatterns: ['/node_modules/(?!@platformatic/)'],
  // One mistake in a timer must not hold the suite for ever.
  testTimeout: 20_000,
};
