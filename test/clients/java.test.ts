import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ClientBroker } from '../harness/client-broker.ts';
import { runOk } from '../harness/command.ts';
import { javaArgs, type KAFKA_TOOLS } from '../harness/kafka-java.ts';
import { TempDir } from '../harness/temp-dir.ts';

describe('the Java clients and tools of Apache Kafka 4.x', () => {
  let broker: ClientBroker;
  const dir = new TempDir();

  beforeAll(async () => {
    broker = await ClientBroker.start('java', { 'offsets.topic.num.partitions': '4' });
  });
  afterAll(async () => {
    await broker.stop();
    dir.remove();
  });

  const tool = async (name: keyof typeof KAFKA_TOOLS, args: readonly string[], input?: string) =>
    runOk('java', await javaArgs(name, ['--bootstrap-server', broker.bootstrapServers, ...args]), {
      ...(input === undefined ? {} : { input }),
      deadlineMs: 120_000,
    });

  test('kafka-broker-api-versions lists us', async () => {
    expect(await tool('apiVersions', [])).toContain('Produce(0): 0 to 13');
  });

  test('kafka-topics creates, describes, alters and deletes', async () => {
    await tool('topics', [
      '--create',
      '--topic',
      'made',
      '--partitions',
      '3',
      '--config',
      'retention.ms=60000',
    ]);
    const description = await tool('topics', ['--describe', '--topic', 'made']);
    expect(description).toContain('PartitionCount: 3');
    expect(description).toContain('retention.ms=60000');
    await tool('topics', ['--alter', '--topic', 'made', '--partitions', '6']);
    expect(await tool('topics', ['--describe', '--topic', 'made'])).toContain('PartitionCount: 6');
    expect(await tool('topics', ['--list'])).toContain('made');
    await tool('topics', ['--delete', '--topic', 'made']);
    expect(await tool('topics', ['--list'])).not.toContain('made');
  });

  test('kafka-configs shows and changes the settings of a topic and of the broker', async () => {
    await tool('topics', ['--create', '--topic', 'set', '--partitions', '1']);
    const entity = ['--entity-type', 'topics', '--entity-name', 'set'];
    await tool('configs', [
      '--alter',
      ...entity,
      '--add-config',
      'max.message.bytes=2000000,cleanup.policy=[compact,delete]',
    ]);
    const described = await tool('configs', ['--describe', ...entity]);
    expect(described).toContain('max.message.bytes=2000000');
    expect(described).toContain('cleanup.policy=compact,delete');
    await tool('configs', ['--alter', ...entity, '--delete-config', 'max.message.bytes']);
    expect(await tool('configs', ['--describe', ...entity])).not.toContain('max.message.bytes=2000000');
    expect(
      await tool('configs', ['--describe', '--all', '--entity-type', 'brokers', '--entity-name', '1']),
    ).toContain('log.retention.ms');
  });

  test('the console tools carry lines', async () => {
    const lines = Array.from({ length: 100 }, (_, n) => `line ${n}`);
    await tool('topics', ['--create', '--topic', 'console', '--partitions', '1']);
    await tool('consoleProducer', ['--topic', 'console'], `${lines.join('\n')}\n`);
    const read = await tool('consoleConsumer', [
      '--topic',
      'console',
      '--from-beginning',
      '--max-messages',
      '100',
    ]);
    expect(read.trimEnd().split('\n')).toEqual(lines);
    expect(await tool('getOffsets', ['--topic', 'console'])).toContain('console:0:100');
  });

  test('verifiable producer and consumer agree, in one group of two members', async () => {
    await tool('topics', ['--create', '--topic', 'verified', '--partitions', '4']);
    const consume = () =>
      tool('verifiableConsumer', [
        '--topic',
        'verified',
        '--group-id',
        'verifiers',
        '--max-messages',
        '500',
        '--reset-policy',
        'earliest',
      ]);
    const consumers = Promise.all([consume(), consume()]);
    const produced = await tool('verifiableProducer', [
      '--topic',
      'verified',
      '--max-messages',
      '2000',
      '--acks',
      '-1',
    ]);
    expect(produced).toContain('"acked":2000');
    const consumed = (await consumers).flatMap((output) =>
      output
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { name: string; count?: number }),
    );
    const count = consumed
      .filter((event) => event.name === 'records_consumed')
      .reduce((sum, event) => sum + (event.count ?? 0), 0);
    expect(count).toBeGreaterThanOrEqual(1000);

    const groups = await tool('consumerGroups', ['--describe', '--group', 'verifiers']);
    expect(groups).toContain('verified');
    expect(await tool('consumerGroups', ['--list'])).toContain('verifiers');
    await tool('consumerGroups', [
      '--reset-offsets',
      '--group',
      'verifiers',
      '--topic',
      'verified',
      '--to-earliest',
      '--execute',
    ]);
    await tool('consumerGroups', ['--delete', '--group', 'verifiers']);
    expect(await tool('consumerGroups', ['--list'])).not.toContain('verifiers');
  });

  test('cooperative-sticky and static members work', async () => {
    await tool('topics', ['--create', '--topic', 'sticky', '--partitions', '4']);
    await tool('verifiableProducer', ['--topic', 'sticky', '--max-messages', '400', '--acks', '-1']);
    const config = dir.join('sticky.properties');
    writeFileSync(
      config,
      'partition.assignment.strategy=org.apache.kafka.clients.consumer.CooperativeStickyAssignor\ngroup.instance.id=static-1\n',
    );
    const output = await tool('consoleConsumer', [
      ...[
        '--topic',
        'sticky',
        '--from-beginning',
        '--max-messages',
        '400',
        '--group',
        'sticky',
        '--command-config',
        config,
      ],
    ]);
    expect(output.trimEnd().split('\n')).toHaveLength(400);
  });

  test('kafka-delete-records and kafka-log-dirs', async () => {
    await tool('topics', ['--create', '--topic', 'trimmed', '--partitions', '1']);
    await tool('verifiableProducer', ['--topic', 'trimmed', '--max-messages', '100', '--acks', '-1']);
    const offsets = dir.join('offsets.json');
    writeFileSync(
      offsets,
      JSON.stringify({ version: 1, partitions: [{ topic: 'trimmed', partition: 0, offset: 40 }] }),
    );
    expect(await tool('deleteRecords', ['--offset-json-file', offsets])).toContain('low_watermark: 40');
    expect(await tool('getOffsets', ['--topic', 'trimmed', '--time', 'earliest'])).toContain('trimmed:0:40');
    expect(await tool('logDirs', ['--describe', '--topic-list', 'trimmed'])).toContain(
      '"partition":"trimmed-0"',
    );
  });
});
