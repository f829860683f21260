import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ClientBroker } from '../harness/client-broker.ts';
import { type Finished, run, runOk } from '../harness/command.ts';
import { javaArgs } from '../harness/kafka-java.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const DEADLINE_MS = 60_000;
/** What a topic takes, and what a batch may inflate to where the broker looks into it. */
const MAX_MESSAGE_BYTES = 100_000;
/** How long Java may try what cannot succeed. */
const STUCK_MS = 10_000;
/** Twice what pauses of 100 ms leave room for; without them it was thousands. */
const STUCK_TRIES_MAX = 200;
const INFLATED_MAX_BYTES = 64 * MIB;

/** A line of so many bytes that tells which it is. */
const line = (n: number, sizeBytes: number) => String(n).padEnd(sizeBytes, 'x');
const lines = (count: number, sizeBytes: number) =>
  Array.from({ length: count }, (_, n) => line(n, sizeBytes));

/** Java's producer, idempotent, retrying without end as is its default (the console's own are three times). */
describe("Java's producer, when its batch is MESSAGE_TOO_LARGE", () => {
  let broker: ClientBroker;

  beforeAll(async () => {
    broker = await ClientBroker.start('java-too-large');
  });
  afterAll(async () => broker.stop());

  const common = () => ['--bootstrap-server', broker.bootstrapServers];

  async function create(topic: string, config: string): Promise<void> {
    const args = ['--create', '--topic', topic, '--partitions', '1', '--config', config];
    await runOk('java', await javaArgs('topics', [...common(), ...args]));
  }

  /** Sends the lines as one batch if it has room: nothing is sent before `linger.ms`. */
  async function produce(
    topic: string,
    input: readonly string[],
    batchBytes: number,
    codec = 'none',
    settings: Readonly<Record<string, number>> = {},
  ): Promise<Finished> {
    const memory = { 'max.request.size': 90_000_000, 'buffer.memory': 200_000_000, 'linger.ms': 2_000 };
    const all = { ...memory, 'batch.size': batchBytes, ...settings };
    const properties = Object.entries(all).flatMap(([name, value]) => [
      '--command-property',
      `${name}=${value}`,
    ]);
    const retries = ['--message-send-max-retries', '2147483647'];
    const args = ['--topic', topic, '--compression-codec', codec, ...retries, ...properties];
    const java = await javaArgs('consoleProducer', [...common(), ...args]);
    // Batches of this size need more than the tools' own; of two -Xmx the last counts.
    java.splice(1, 0, '-Xmx1g');
    return run('java', java, { input: `${input.join('\n')}\n`, deadlineMs: DEADLINE_MS });
  }

  async function read(topic: string): Promise<string[]> {
    const output = await runOk('kcat', ['-C', '-q', '-e', '-b', broker.bootstrapServers, '-t', topic]);
    return output.split('\n').filter((text) => text !== '');
  }

  test('many records: split until each part is small enough; each arrives once and in order', async () => {
    await create('many', `max.message.bytes=${MAX_MESSAGE_BYTES}`);
    const sent = lines(2_000, 1_000);
    const { stderr } = await produce('many', sent, 1_000_000);
    expect(stderr).toMatch(/splitting and retrying.*MESSAGE_TOO_LARGE.*max\.message\.bytes is 100000/);
    expect(stderr).not.toContain('ERROR');
    expect(await read('many')).toEqual(sent);
  });

  test('out-of-order-for-ever: small batches were sent behind the first of a new producer', async () => {
    await create('behind', `max.message.bytes=${MAX_MESSAGE_BYTES}`);
    const sent = [...lines(1_400, 1_000), ...lines(50, 10)];
    const { stderr } = await produce('behind', sent, 1_350_000);
    expect(stderr).toContain('splitting and retrying');
    expect(stderr).not.toContain('ERROR');
    expect(await read('behind')).toEqual(sent);
  });

  test('one record: RecordTooLargeException at once, and the records around it arrive', async () => {
    await create('single', `max.message.bytes=${MAX_MESSAGE_BYTES}`);
    const sent = [line(0, 1_000), line(1, 200_000), line(2, 1_000)];
    const { stderr } = await produce('single', sent, 10_000);
    expect(stderr).toMatch(/value: 200000 bytes with error:\s+\S*RecordTooLargeException: .*100000/);
    expect(await read('single')).toEqual([sent[0], sent[2]]);
  });

  test('failure class: refused-without-pause: one with a tiny record beside it, which Java splits into itself for ever', async () => {
    await create('stuck', `max.message.bytes=${MAX_MESSAGE_BYTES}`);
    const deadline = { 'linger.ms': 500, 'request.timeout.ms': 1_000, 'delivery.timeout.ms': STUCK_MS };
    const { stderr } = await produce('stuck', [line(0, 200_000), 'x'], 1_000_000, 'none', deadline);
    const tries = stderr.split('splitting and retrying').length - 1;
    console.log(`${tries} tries in ${STUCK_MS} ms`);
    expect(stderr).toMatch(/TimeoutException/);
    expect(tries).toBeLessThan(STUCK_TRIES_MAX);
    expect(await read('stuck')).toEqual([]);
  });

  /** A topic with a bound in the past is one whose batches are inflated to be looked into. */
  const LOOKED_INTO = 'message.timestamp.before.max.ms=3600000';

  test('records that inflate too far together: split, and each arrives once and in order', async () => {
    await create('bomb', LOOKED_INTO);
    const sent = lines(INFLATED_MAX_BYTES / MIB + 16, MIB);
    const { stderr } = await produce('bomb', sent, 80_000_000, 'zstd');
    expect(stderr).toMatch(/splitting and retrying.*MESSAGE_TOO_LARGE.*inflate to more than 67108864 bytes/);
    expect(stderr).not.toContain('ERROR');
    const arrived = await read('bomb');
    expect(arrived.map((text) => Number.parseInt(text, 10))).toEqual(sent.map((_, n) => n));
    expect(arrived.every((text) => text.length === MIB)).toBe(true);
  });

  test('one record that inflates too far: RecordTooLargeException at once, and nothing of it is there', async () => {
    await create('one-bomb', LOOKED_INTO);
    const { stderr } = await produce('one-bomb', [line(0, INFLATED_MAX_BYTES + MIB)], 10_000, 'zstd');
    expect(stderr).toMatch(/RecordTooLargeException: .*inflate to more than 67108864 bytes/);
    expect(await read('one-bomb')).toEqual([]);
  });
});
