import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ClientBroker } from '../harness/client-broker.ts';
import { runOk } from '../harness/command.ts';

describe('kcat (librdkafka)', () => {
  let broker: ClientBroker;

  beforeAll(async () => {
    broker = await ClientBroker.start('kcat', { 'num.partitions': '3' });
  });
  afterAll(async () => broker.stop());

  const kcat = (args: readonly string[], input?: string) =>
    runOk('kcat', ['-b', broker.bootstrapServers, ...args], input === undefined ? {} : { input });

  test('lists the broker and its topics', async () => {
    await kcat(['-P', '-t', 'listed'], 'x\n');
    const listing = JSON.parse(await kcat(['-L', '-J'])) as {
      brokers: { name: string }[];
      topics: { topic: string; partitions: unknown[] }[];
    };
    expect(listing.brokers.map((node) => node.name)).toEqual([broker.bootstrapServers]);
    expect(listing.topics.find((topic) => topic.topic === 'listed')?.partitions).toHaveLength(3);
  });

  test.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'])(
    'keys, values, headers and order survive %s',
    async (codec) => {
      const lines = Array.from({ length: 500 }, (_, n) => `key-${n % 7}:value-${n}`);
      const produce = ['-P', '-t', `plain-${codec}`, '-p', '1', '-K:', '-z', codec, '-H', 'origin=test'];
      await kcat(produce, `${lines.join('\n')}\n`);
      const read = await kcat([
        '-C',
        '-q',
        '-e',
        '-t',
        `plain-${codec}`,
        '-p',
        '1',
        '-X',
        'check.crcs=true',
        '-f',
        '%o %k:%s %h\\n',
      ]);
      expect(read.trimEnd().split('\n')).toEqual(lines.map((line, n) => `${n} ${line} origin=test`));
    },
  );

  test('acks=0, acks=1 and an idempotent producer all arrive', async () => {
    await kcat(['-P', '-t', 'acks', '-p', '0', '-X', 'acks=0'], 'a\n');
    await kcat(['-P', '-t', 'acks', '-p', '0', '-X', 'acks=1'], 'b\n');
    await kcat(['-P', '-t', 'acks', '-p', '0', '-X', 'enable.idempotence=true'], 'c\n');
    expect(await kcat(['-C', '-q', '-e', '-t', 'acks', '-p', '0'])).toBe('a\nb\nc\n');
  });

  test('reads from an offset, from the end, and by time', async () => {
    await kcat(['-P', '-t', 'seek', '-p', '0'], 'a\nb\nc\nd\n');
    const from = (offset: string) => kcat(['-C', '-q', '-e', '-t', 'seek', '-p', '0', '-o', offset]);
    expect(await from('2')).toBe('c\nd\n');
    expect(await from('-1')).toBe('d\n');
    expect(await from('s@0')).toBe('a\nb\nc\nd\n');
    expect(await kcat(['-Q', '-t', 'seek:0:-1'])).toContain('offset 4');
  });

  test('a balanced group reads everything and commits', async () => {
    const lines = Array.from({ length: 90 }, (_, n) => `${n}`);
    await kcat(['-P', '-t', 'balanced'], `${lines.join('\n')}\n`);
    const group = (count: number) =>
      kcat(['-q', '-c', String(count), '-X', 'auto.offset.reset=earliest', '-G', 'kcat-group', 'balanced']);
    const first = (await group(90)).trimEnd().split('\n');
    expect(first.sort()).toEqual([...lines].sort());
    await kcat(['-P', '-t', 'balanced'], 'later\n');
    expect(await group(1)).toBe('later\n');
  });
});
