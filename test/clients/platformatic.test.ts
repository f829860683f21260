import {
  Admin,
  Consumer,
  type Message,
  Producer,
  stringDeserializers,
  stringSerializers,
} from '@platformatic/kafka';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ClientBroker } from '../harness/client-broker.ts';

describe('@platformatic/kafka', () => {
  let broker: ClientBroker;
  let common: { clientId: string; bootstrapBrokers: string[] };

  beforeAll(async () => {
    broker = await ClientBroker.start('platformatic');
    common = { clientId: 'platformatic', bootstrapBrokers: [broker.bootstrapServers] };
  });
  afterAll(async () => broker.stop());

  async function read(
    topic: string,
    count: number,
    groupId: string,
  ): Promise<Message<string, string, string, string>[]> {
    const consumer = new Consumer({ ...common, groupId, deserializers: stringDeserializers });
    const stream = await consumer.consume({
      topics: [topic],
      mode: 'earliest',
      autocommit: false,
      maxWaitTime: 100,
    });
    const messages: Message<string, string, string, string>[] = [];
    for await (const message of stream) {
      messages.push(message);
      await message.commit();
      if (messages.length === count) break;
    }
    await consumer.close(true);
    return messages;
  }

  test.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const)(
    'produces and consumes with %s',
    async (compression) => {
      const admin = new Admin(common);
      const topic = `codec-${compression}`;
      await admin.createTopics({ topics: [topic], partitions: 2, replicas: 1 });
      const producer = new Producer({ ...common, serializers: stringSerializers, compression });
      const sent = Array.from({ length: 40 }, (_, n) => ({
        topic,
        key: `key-${n}`,
        value: `value-${n}`.repeat(10),
        partition: n % 2,
        headers: { n: String(n) },
      }));
      await producer.send({ messages: sent });
      await producer.close();
      const received = await read(topic, sent.length, `group-${compression}`);
      expect(received.map((message) => message.value).sort()).toEqual(
        sent.map((message) => message.value).sort(),
      );
      expect(received.every((message) => message.headers.get('n') === message.key.slice(4))).toBe(true);
      await admin.close();
    },
  );

  test('an idempotent producer gets its offsets', async () => {
    const admin = new Admin(common);
    await admin.createTopics({ topics: ['idempotent'], partitions: 1, replicas: 1 });
    const producer = new Producer({ ...common, serializers: stringSerializers, idempotent: true });
    for (let n = 0; n < 10; n += 1) {
      const result = await producer.send({ messages: [{ topic: 'idempotent', value: `${n}` }] });
      expect(result.offsets?.map((entry) => Number(entry.offset))).toEqual([n]);
    }
    await producer.close();
    await admin.close();
  });

  test('a group goes on where it committed', async () => {
    const admin = new Admin(common);
    await admin.createTopics({ topics: ['resume'], partitions: 1, replicas: 1 });
    const producer = new Producer({ ...common, serializers: stringSerializers });
    await producer.send({ messages: ['a', 'b', 'c'].map((value) => ({ topic: 'resume', value })) });
    await read('resume', 2, 'resuming');
    const consumer = new Consumer({ ...common, groupId: 'resuming', deserializers: stringDeserializers });
    const stream = await consumer.consume({
      topics: ['resume'],
      mode: 'committed',
      autocommit: false,
      maxWaitTime: 100,
    });
    for await (const message of stream) {
      expect(message.value).toBe('c');
      break;
    }
    await consumer.close(true);
    expect([...(await admin.listGroups()).keys()]).toContain('resuming');
    await producer.close();
    await admin.close();
  });

  test('lists and deletes topics', async () => {
    const admin = new Admin(common);
    await admin.createTopics({ topics: ['short-lived'], partitions: 3, replicas: 1 });
    expect(await admin.listTopics()).toContain('short-lived');
    await admin.deleteTopics({ topics: ['short-lived'] });
    expect(await admin.listTopics()).not.toContain('short-lived');
    await admin.close();
  });
});
