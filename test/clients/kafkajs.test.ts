import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ConfigResourceTypes, Kafka, type KafkaMessage, logLevel } from 'kafkajs';
import { kafkajsCodecs } from '../harness/kafkajs-codecs.ts';
import { ClientBroker } from '../harness/client-broker.ts';

describe('kafkajs', () => {
  let broker: ClientBroker;
  let kafka: Kafka;

  beforeAll(async () => {
    broker = await ClientBroker.start('kafkajs');
    kafka = new Kafka({
      clientId: 'kafkajs',
      brokers: [broker.bootstrapServers],
      logLevel: logLevel.NOTHING,
    });
  });
  afterAll(async () => broker.stop());

  async function readAll(
    topic: string,
    count: number,
    groupId = `group-of-${topic}`,
  ): Promise<KafkaMessage[]> {
    const consumer = kafka.consumer({ groupId });
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    const messages: KafkaMessage[] = [];
    await new Promise<void>((resolve, reject) => {
      consumer
        .run({
          eachMessage: async ({ message }) => {
            messages.push(message);
            if (messages.length === count) resolve();
          },
        })
        .catch(reject);
    });
    await consumer.disconnect();
    return messages;
  }

  test('creates, describes, grows and deletes topics', async () => {
    const admin = kafka.admin();
    await admin.connect();
    expect(await admin.createTopics({ topics: [{ topic: 'admin', numPartitions: 2 }] })).toBe(true);
    expect(await admin.createTopics({ topics: [{ topic: 'admin', numPartitions: 2 }] })).toBe(false);
    await admin.createPartitions({ topicPartitions: [{ topic: 'admin', count: 5 }] });
    const { topics } = await admin.fetchTopicMetadata({ topics: ['admin'] });
    expect(topics[0]?.partitions.map((partition) => partition.partitionId).sort()).toEqual([0, 1, 2, 3, 4]);
    expect(await admin.listTopics()).toContain('admin');

    await admin.alterConfigs({
      validateOnly: false,
      resources: [
        {
          type: ConfigResourceTypes.TOPIC,
          name: 'admin',
          configEntries: [{ name: 'retention.ms', value: '12345' }],
        },
      ],
    });
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: ConfigResourceTypes.TOPIC, name: 'admin' }],
    });
    const entry = (name: string) => resources[0]?.configEntries.find((config) => config.configName === name);
    expect(entry('retention.ms')).toMatchObject({ configValue: '12345', isDefault: false });
    expect(entry('cleanup.policy')).toMatchObject({ configValue: 'delete', isDefault: true });

    await admin.deleteTopics({ topics: ['admin'] });
    expect(await admin.listTopics()).not.toContain('admin');
    const cluster = await admin.describeCluster();
    expect(cluster.brokers).toHaveLength(1);
    expect(cluster.controller).toBe(cluster.brokers[0]?.nodeId);
    await admin.disconnect();
  });

  test.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const)(
    'gets back keys, values and headers, compressed with %s',
    async (codec) => {
      const topic = `codec-${codec}`;
      const producer = kafka.producer();
      await producer.connect();
      const messages = Array.from({ length: 50 }, (_, n) => ({
        key: `key-${n}`,
        value: `value-${n}`.repeat(20),
        headers: { n: String(n) },
      }));
      await producer.send({
        topic,
        messages,
        ...(codec === 'none' ? {} : { compression: kafkajsCodecs()[codec] }),
      });
      await producer.disconnect();
      const read = await readAll(topic, messages.length);
      expect(
        read.map((message) => ({
          key: message.key?.toString(),
          value: message.value?.toString(),
          headers: { n: message.headers?.['n']?.toString() },
        })),
      ).toEqual(messages);
      expect(read.map((message) => message.offset)).toEqual(messages.map((_, n) => String(n)));
    },
  );

  test('an idempotent producer gets dense offsets', async () => {
    const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
    await producer.connect();
    for (let n = 0; n < 20; n += 1) {
      const [answer] = await producer.send({ topic: 'idempotent', acks: -1, messages: [{ value: `${n}` }] });
      expect(answer).toMatchObject({ errorCode: 0, baseOffset: String(n) });
    }
    await producer.disconnect();
  });

  test('two members share a topic, one leaves, the other goes on where it was committed', async () => {
    const admin = kafka.admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic: 'shared', numPartitions: 4 }] });
    const producer = kafka.producer();
    await producer.connect();
    const seen = new Set<string>();
    const members = new Map<string, number[]>();
    const join = async (name: string) => {
      const consumer = kafka.consumer({ groupId: 'sharing', sessionTimeout: 10_000, heartbeatInterval: 500 });
      consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
        members.set(name, payload.memberAssignment['shared'] ?? []);
      });
      await consumer.connect();
      await consumer.subscribe({ topic: 'shared', fromBeginning: true });
      await consumer.run({
        eachMessage: async ({ message }) => {
          seen.add(message.value?.toString() ?? '');
        },
      });
      return consumer;
    };
    const sendAll = async (from: number) => {
      await producer.send({
        topic: 'shared',
        messages: Array.from({ length: 40 }, (_, n) => ({ value: `${from + n}`, partition: n % 4 })),
      });
    };
    const until = async (condition: () => boolean) => {
      for (let tries = 0; tries < 600 && !condition(); tries += 1)
        await new Promise((next) => setTimeout(next, 50));
      expect(condition()).toBe(true);
    };

    const first = await join('first');
    await sendAll(0);
    await until(() => seen.size === 40);
    const second = await join('second');
    await until(() => members.get('first')?.length === 2 && members.get('second')?.length === 2);
    expect([...(members.get('first') ?? []), ...(members.get('second') ?? [])].sort()).toEqual([0, 1, 2, 3]);

    const description = await admin.describeGroups(['sharing']);
    expect(description.groups[0]).toMatchObject({ state: 'Stable', protocolType: 'consumer' });
    expect(description.groups[0]?.members).toHaveLength(2);

    await first.disconnect();
    await until(() => members.get('second')?.length === 4);
    await sendAll(40);
    await until(() => seen.size === 80);
    await second.disconnect();

    const offsets = await admin.fetchOffsets({ groupId: 'sharing', topics: ['shared'] });
    expect(
      offsets[0]?.partitions.map((partition) => Number(partition.offset)).reduce((a, b) => a + b, 0),
    ).toBe(80);
    expect((await admin.listGroups()).groups.map((group) => group.groupId)).toContain('sharing');
    await admin.deleteGroups(['sharing']);
    expect((await admin.listGroups()).groups.map((group) => group.groupId)).not.toContain('sharing');
    await producer.disconnect();
    await admin.disconnect();
  });

  test('finds offsets by time, and deletes records', async () => {
    const producer = kafka.producer();
    await producer.connect();
    const messages = Array.from({ length: 10 }, (_, n) => ({ value: `${n}`, timestamp: String(1_000 + n) }));
    await producer.send({ topic: 'times', messages });
    await producer.disconnect();
    const admin = kafka.admin();
    await admin.connect();
    expect(await admin.fetchTopicOffsetsByTimestamp('times', 1_004)).toEqual([{ partition: 0, offset: '4' }]);
    await admin.deleteTopicRecords({ topic: 'times', partitions: [{ partition: 0, offset: '6' }] });
    expect(await admin.fetchTopicOffsets('times')).toEqual([
      { partition: 0, offset: '10', high: '10', low: '6' },
    ]);
    await admin.disconnect();
  });
});
