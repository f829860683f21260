import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ClientBroker } from '../harness/client-broker.ts';
import { run, runOk } from '../harness/command.ts';

const ROOT = path.resolve(import.meta.dirname, '..', '..');
const CACHE = path.join(ROOT, '.cache', 'librdkafka');
const TESTS = path.join(CACHE, 'package', 'deps', 'librdkafka', 'tests');
/** Carries librdkafka 2.15.1 with its tests. */
const TARBALL = '@confluentinc/kafka-javascript@1.10.1';
const TEST_DEADLINE_MS = 300_000;

/** The tests that must pass. The list only grows; docs/compatibility-findings.md tells about the others. */
const ALLOWED = JSON.parse(
  readFileSync(path.join(import.meta.dirname, 'librdkafka-allowed.json'), 'utf8'),
) as string[];

async function build(): Promise<void> {
  if (existsSync(path.join(TESTS, 'test-runner'))) return;
  mkdirSync(CACHE, { recursive: true });
  const script = `
    npm pack ${TARBALL} --silent && tar xzf confluentinc-kafka-javascript-*.tgz
    cd package/deps/librdkafka && ./configure && make -j2 libs && make -j2 -C tests test-runner`;
  await runOk('bash', ['-ec', script], { cwd: CACHE, deadlineMs: 900_000 });
}

describe("librdkafka's own tests against Millrace", () => {
  let broker: ClientBroker;

  beforeAll(async () => {
    await build();
    // What librdkafka's suite expects of a broker: topics appear on use, with four partitions.
    broker = await ClientBroker.start('librdkafka', {
      'num.partitions': '4',
      'auto.create.topics.enable': 'true',
    });
    writeFileSync(
      path.join(TESTS, 'test.conf'),
      `bootstrap.servers=${broker.bootstrapServers}\ntest.topic.random=true\n`,
    );
  }, 1_000_000);
  afterAll(async () => broker.stop());

  test.each(ALLOWED)(
    '%s',
    async (name) => {
      const { status, stdout, stderr } = await run('./test-runner', ['-p1', '-Q', '-E', '-V', '4.0.0'], {
        cwd: TESTS,
        env: { ...process.env, TESTS: name.slice(0, 4), LD_LIBRARY_PATH: path.join(TESTS, '..', 'src') },
        deadlineMs: TEST_DEADLINE_MS,
      });
      const output = `${stdout}\n${stderr}`;
      expect({ status, tail: status === 0 ? '' : output.slice(-4_000) }).toEqual({ status: 0, tail: '' });
      // A test that skipped itself has proven nothing.
      expect(output).toMatch(/PASSED/);
    },
    TEST_DEADLINE_MS + 10_000,
  );
});
