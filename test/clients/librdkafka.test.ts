import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ClientBroker } from '../harness/client-broker.ts';
import { run, runOk } from '../harness/command.ts';
import { javaArgs } from '../harness/kafka-java.ts';
import { MillraceProcess } from '../harness/millrace-process.ts';
import { TempDir } from '../harness/temp-dir.ts';

const ROOT = path.resolve(import.meta.dirname, '..', '..');
const CACHE = path.join(ROOT, '.cache', 'librdkafka');
const LIBRARY = path.join(CACHE, 'package', 'deps', 'librdkafka');
const TESTS = path.join(LIBRARY, 'tests');
/** Stands for a Kafka installation: `bin/kafka-topics.sh`, which some of the tests call, is Kafka's own. */
const KAFKA = path.join(CACHE, 'kafka');
/** Carries librdkafka 2.15.1 with its tests. */
const TARBALL = '@confluentinc/kafka-javascript@1.10.1';
const TEST_DEADLINE_MS = 300_000;
/** Tests that run at the same time: most of their time is spent waiting. */
const LANES = 3;
/** `SLOW=1` runs those that take half a minute and longer, too; `ONLY=0081` those whose name begins so. */
const { SLOW, ONLY = '' } = process.env;

/** One run of the test program. */
interface Entry {
  /** As librdkafka's table of tests calls it. */
  readonly name: string;
  /** Only this part of the test, where later parts need what the broker does not offer yet. */
  readonly subtest?: string;
  /** `noautocreate` runs against a broker where topics do not appear on use. */
  readonly scenario?: 'noautocreate';
  /** The parts that librdkafka's own quick mode leaves out are left out. */
  readonly quick?: boolean;
  /** Left out unless asked for. */
  readonly slow?: boolean;
  /** What the test may expect of the broker. Default 4.0.0; before that, groups had no settings. */
  readonly brokerVersion?: string;
}

/** The tests that must pass. The list only grows; docs/compatibility-findings.md tells about the others. */
const ALLOWED = (
  JSON.parse(readFileSync(path.join(import.meta.dirname, 'librdkafka-allowed.json'), 'utf8')) as Entry[]
).filter(({ name, slow }) => name.startsWith(ONLY) && (slow !== true || SLOW === '1'));

const titleOf = ({ name, subtest }: Entry): string => (subtest === undefined ? name : `${name} ${subtest}`);

/** The program chooses tests by the first four digits of their names: those that share them run together. */
const numberOf = ({ name }: Entry): string => name.slice(0, 4);
const runOf = (entry: Entry): string =>
  [numberOf(entry), entry.subtest, entry.scenario, entry.quick].join(' ');

interface Run {
  readonly entry: Entry;
  readonly output: PromiseWithResolvers<string>;
}

async function build(): Promise<void> {
  if (!existsSync(path.join(TESTS, 'test-runner'))) {
    mkdirSync(CACHE, { recursive: true });
    const script = `
      npm pack ${TARBALL} --silent && tar xzf confluentinc-kafka-javascript-*.tgz
      cd package/deps/librdkafka && ./configure && make -j2 libs && make -j2 -C tests test-runner`;
    await runOk('bash', ['-ec', script], { cwd: CACHE, deadlineMs: 900_000 });
  }
  const words = ['java', ...(await javaArgs('topics', []))].map((word) => `'${word}'`);
  mkdirSync(path.join(KAFKA, 'bin'), { recursive: true });
  const script = path.join(KAFKA, 'bin', 'kafka-topics.sh');
  writeFileSync(script, `#!/bin/sh\nexec ${words.join(' ')} "$@"\n`);
  chmodSync(script, 0o755);
}

const configOf = (scenario = 'default'): string => path.join(CACHE, `${scenario}.conf`);

function writeConfig(scenario: Entry['scenario'], bootstrapServers: string): void {
  writeFileSync(configOf(scenario), `bootstrap.servers=${bootstrapServers}\ntest.topic.random=true\n`);
}

/** What the test program printed, or why there is nothing. */
async function outputOf(entry: Entry, bootstrapServers: string): Promise<string> {
  const args = ['-p1', '-L', ...(entry.quick === true ? ['-Q'] : [])];
  if (entry.scenario !== undefined) args.push('-s', entry.scenario);
  const { status, stdout, stderr } = await run('./test-runner', args, {
    cwd: TESTS,
    env: {
      ...process.env,
      TESTS: numberOf(entry),
      ...(entry.subtest === undefined ? {} : { SUBTESTS: entry.subtest }),
      RDKAFKA_TEST_CONF: configOf(entry.scenario),
      // The option -V instead makes the program free a string it does not own, at its very end.
      TEST_KAFKA_VERSION: entry.brokerVersion ?? '4.0.0',
      KAFKA_PATH: KAFKA,
      BROKERS: bootstrapServers,
      LD_LIBRARY_PATH: ['src', 'src-cpp'].map((folder) => path.join(LIBRARY, folder)).join(':'),
    },
    deadlineMs: TEST_DEADLINE_MS,
  });
  return `${stdout}\n${stderr}\nended with ${status}\n`;
}

describe("librdkafka's own tests against Millrace", () => {
  let broker: ClientBroker;
  const dir = new TempDir();
  let withoutAutoCreate: MillraceProcess;
  const runs = new Map<string, Run>(
    ALLOWED.map((entry) => [runOf(entry), { entry, output: Promise.withResolvers<string>() }]),
  );

  async function lane(queue: Run[]): Promise<void> {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const { entry, output } = next;
      const { bootstrapServers } = entry.scenario === 'noautocreate' ? withoutAutoCreate : broker;
      output.resolve(await outputOf(entry, bootstrapServers).catch((error: unknown) => String(error)));
    }
  }

  beforeAll(async () => {
    await build();
    // What librdkafka's suite expects of a broker: topics have four partitions and, mostly, appear on use. Members
    // that start together count on being in the first rebalance together.
    const settings = { 'num.partitions': '4', 'group.initial.rebalance.delay.ms': '100' };
    broker = await ClientBroker.start('librdkafka', settings);
    withoutAutoCreate = await MillraceProcess.start({
      dataDir: dir.join('data'),
      args: ['--set', 'num.partitions=4', '--set', 'auto.create.topics.enable=false'],
    });
    writeConfig(undefined, broker.bootstrapServers);
    writeConfig('noautocreate', withoutAutoCreate.bootstrapServers);
    const queue = [...runs.values()];
    for (let n = 0; n < LANES; n++) void lane(queue);
  }, 1_000_000);
  afterAll(async () => {
    await broker.stop();
    await withoutAutoCreate.stop();
    dir.remove();
  });

  test.each(ALLOWED.map((entry) => [titleOf(entry), entry] as const))(
    '%s',
    async (_title, entry) => {
      const output = (await runs.get(runOf(entry))?.output.promise) ?? '';
      const problem = output.includes('\nended with 0\n') ? '' : output.slice(-4_000);
      expect(problem).toBe('');
      // A test that skipped itself has proven nothing; a part that does not exist neither.
      expect(output).toContain(`Test ${entry.name} PASSED`);
      if (entry.subtest !== undefined) expect(output).toMatch(new RegExp(`\\[ ${entry.subtest}.*: PASS`));
    },
    // A test waits for those before it in its lane, which have as much time.
    LANES * (TEST_DEADLINE_MS + 10_000),
  );
});
