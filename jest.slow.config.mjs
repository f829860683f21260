import base from './jest.config.mjs';

/** The suites with real processes, real clients and real kills: `npm run test:slow -- test/slow/kill-nine`. */
export default {
  ...base,
  roots: ['<rootDir>/test/slow', '<rootDir>/test/clients'],
  testPathIgnorePatterns: ['/node_modules/'],
  testTimeout: 300_000,
  reporters: ['default', '<rootDir>/test/harness/results-reporter.mjs'],
  // They share two cores and measure real time: one after the other.
  maxWorkers: 1,
};
