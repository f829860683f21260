import path from 'node:path';
import { expect, test } from '@jest/globals';
import { run } from '../harness/command.ts';

const ROOT = path.resolve(import.meta.dirname, '..', '..');
/** A process that spins hears no timer, so it has to be one of its own. */
const DEADLINE_MS = 15_000;

/** A consumer of kafkajs itself whose second broker is quick and whose first one is slow: a third comes, and it is stopped. */
const STOPPED_WHILE_A_BROKER_COMES = `
  import { createRequire } from 'node:module';
  import { stopLateFetchers } from './drills/workload/late-fetchers.ts';
  if (process.argv.includes('mended')) stopLateFetchers();
  const Runner = createRequire(import.meta.url)('./node_modules/kafkajs/src/consumer/runner.js');
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const silent = { debug() {}, info() {}, warn() {}, error() {}, namespace: () => silent };
  let nodeIds = [1, 2];
  const consumerGroup = {
    connect: async () => {}, joinAndSync: async () => {}, leave: async () => {},
    heartbeat: async () => {}, getNodeIds: () => nodeIds,
    fetch: async (nodeId) => (await sleep(nodeId === 1 ? 200 : 5), []),
  };
  const runner = new Runner({ logger: silent, consumerGroup, instrumentationEmitter: { emit() {} }, onCrash: () => {} });
  await runner.start();
  await sleep(50);
  nodeIds = [1, 2, 3];
  await sleep(50);
  await runner.stop();
  await sleep(300);
  console.log('stopped');
`;

function consumer(...args: string[]): Promise<{ readonly stdout: string }> {
  const script = ['--input-type=module', '--eval', STOPPED_WHILE_A_BROKER_COMES, ...args];
  return run(process.execPath, script, { cwd: ROOT, deadlineMs: DEADLINE_MS });
}

test('failure class: a consumer that was stopped while a broker came back kept its process busy for ever', async () => {
  expect((await consumer('mended')).stdout).toBe('stopped\n');
}, 20_000);
