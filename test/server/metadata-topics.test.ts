import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  CreatePartitionsRequest,
  CreatePartitionsResponse,
} from '../../broker-runtime/src/wire/messages/create-partitions.ts';
import {
  DeleteTopicsRequest,
  DeleteTopicsResponse,
} from '../../broker-runtime/src/wire/messages/delete-topics.ts';
import {
  DescribeTopicPartitionsRequest,
  DescribeTopicPartitionsResponse,
} from '../../broker-runtime/src/wire/messages/describe-topic-partitions.ts';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import { ZERO_UUID, type Encodable } from '../../broker-runtime/src/wire/schema.ts';
import { CreateTopics, Metadata, startBroker, type BrokerRig } from './broker-rig.ts';

const DeleteTopics = [DeleteTopicsRequest, DeleteTopicsResponse] as const;
const CreatePartitions = [CreatePartitionsRequest, CreatePartitionsResponse] as const;
const DescribeTopicPartitions = [DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse] as const;

let rig: BrokerRig;
beforeAll(async () => {
  rig = await startBroker();
});
afterAll(() => rig.close());

type MetadataBody = Encodable<(typeof Metadata)[0]>;

function metadata(version: number, body: MetadataBody) {
  return rig.run(rig.client.call(Metadata, version, body));
}

function named(...names: string[]): MetadataBody['topics'] {
  return names.map((name) => ({ name }));
}

describe('Metadata', () => {
  test('names the broker, the cluster and a controller that is alive', async () => {
    const body = await metadata(12, { topics: [] });
    expect(body.brokers).toEqual([{ nodeId: 1, host: '127.0.0.1', port: 9092, rack: 'zone-a' }]);
    expect(body.controllerId).toBe(1);
    expect(body.clusterId).toMatch(/^[A-Za-z0-9_-]{22}$/);
  });

  test('null asks for all topics, an empty list for none; in version 0 an empty list is all', async () => {
    await rig.topic('md-one', { partitions: 2 });
    const names = (body: Awaited<ReturnType<typeof metadata>>): (string | null)[] =>
      body.topics.map(({ name }) => name);
    expect(names(await metadata(1, { topics: null }))).toContain('md-one');
    expect(names(await metadata(13, { topics: null }))).toContain('md-one');
    expect(names(await metadata(1, { topics: [] }))).toEqual([]);
    expect(names(await metadata(12, { topics: [] }))).toEqual([]);
    expect(names(await metadata(0, { topics: [] }))).toContain('md-one');
  });

  test.each([0, 1, 4, 5, 7, 8, 9, 10, 11, 12, 13])('version %i describes a topic', async (version) => {
    const name = `md-v${version}`;
    const topicId = await rig.topic(name, { partitions: 3 });
    const [topic] = (await metadata(version, { topics: named(name) })).topics;
    expect(topic).toMatchObject({ errorCode: 0, name, isInternal: false });
    expect(topic?.topicId).toBe(version >= 10 ? topicId : ZERO_UUID);
    expect(topic?.partitions.map(({ partitionIndex }) => partitionIndex)).toEqual([0, 1, 2]);
    expect(topic?.partitions[0]).toMatchObject({
      errorCode: 0,
      leaderId: 1,
      replicaNodes: [1],
      isrNodes: [1],
    });
    if (version >= 7) expect(topic?.partitions[0]?.leaderEpoch).toBeGreaterThanOrEqual(0);
  });

  test('a topic is found by its id from version 12 on, and not by ids of nobody', async () => {
    const topicId = await rig.topic('md-by-id');
    const asked = [
      { topicId, name: null },
      { topicId: 'BBBBBBBBBBBBBBBBBBBBBA', name: null },
    ];
    const { topics } = await metadata(12, { topics: asked });
    expect(topics[0]).toMatchObject({ errorCode: 0, name: 'md-by-id', topicId });
    expect(topics[1]).toMatchObject({
      errorCode: Errors.UNKNOWN_TOPIC_ID,
      name: null,
      topicId: 'BBBBBBBBBBBBBBBBBBBBBA',
    });
  });

  test('ids in requests of version 10 and 11 are refused', async () => {
    const topicId = await rig.topic('md-old-id');
    const { topics } = await metadata(11, { topics: [{ topicId, name: 'md-old-id' }] });
    expect(topics[0]).toMatchObject({ errorCode: Errors.INVALID_REQUEST });
  });

  test('an unknown topic says UNKNOWN_TOPIC_OR_PARTITION once, and is there the next time', async () => {
    const first = await metadata(9, { topics: named('md-auto'), allowAutoTopicCreation: true });
    expect(first.topics[0]).toMatchObject({ errorCode: Errors.UNKNOWN_TOPIC_OR_PARTITION, name: 'md-auto' });
    await rig.env.clock.advance(1000);
    const second = await metadata(9, { topics: named('md-auto'), allowAutoTopicCreation: true });
    expect(second.topics[0]).toMatchObject({ errorCode: 0, name: 'md-auto' });
    expect(second.topics[0]?.partitions).toHaveLength(1);
  });

  test('asked-twice: a topic named twice in one request is created as well', async () => {
    await metadata(9, { topics: named('md-auto-twice', 'md-auto-twice'), allowAutoTopicCreation: true });
    await rig.env.clock.advance(1000);
    const { topics } = await metadata(9, { topics: named('md-auto-twice'), allowAutoTopicCreation: false });
    expect(topics[0]).toMatchObject({ errorCode: 0, name: 'md-auto-twice' });
  });

  test('versions below 4 always create, later ones only when allowed', async () => {
    await metadata(1, { topics: named('md-auto-old') });
    await metadata(4, { topics: named('md-auto-no'), allowAutoTopicCreation: false });
    await rig.env.clock.advance(1000);
    const { topics } = await metadata(4, {
      topics: named('md-auto-old', 'md-auto-no'),
      allowAutoTopicCreation: false,
    });
    expect(topics.map(({ errorCode }) => errorCode)).toEqual([0, Errors.UNKNOWN_TOPIC_OR_PARTITION]);
  });

  test.each(['', '.', '..', 'a/b', 'a\0b', 'ü', 'x'.repeat(250), '../../etc/passwd'])(
    'the name %j is INVALID_TOPIC_EXCEPTION and creates nothing',
    async (name) => {
      const body = await metadata(9, { topics: named(name), allowAutoTopicCreation: true });
      expect(body.topics[0]).toMatchObject({ errorCode: Errors.INVALID_TOPIC_EXCEPTION, name });
      await rig.env.clock.advance(500);
      const all = await metadata(9, { topics: null });
      expect(all.topics.map((topic) => topic.name)).not.toContain(name);
    },
  );

  test('authorized operations are told when asked for, and omitted otherwise', async () => {
    await rig.topic('md-ops');
    const asked = await metadata(8, { topics: named('md-ops'), includeTopicAuthorizedOperations: true });
    expect(asked.topics[0]?.topicAuthorizedOperations).toBe(3576);
    const omitted = await metadata(8, { topics: named('md-ops') });
    expect(omitted.topics[0]?.topicAuthorizedOperations).toBe(-0x8000_0000);
  });
});

describe('auto.create.topics.enable=false', () => {
  test('creates nothing, whatever the client wishes', async () => {
    const strict = await startBroker({ 'auto.create.topics.enable': 'false' });
    const ask = () =>
      strict.run(strict.client.call(Metadata, 9, { topics: named('nope'), allowAutoTopicCreation: true }));
    await ask();
    await strict.env.clock.advance(1000);
    expect((await ask()).topics[0]?.errorCode).toBe(Errors.UNKNOWN_TOPIC_OR_PARTITION);
    await strict.close();
  });
});

describe('CreateTopics', () => {
  type Topic = Encodable<(typeof CreateTopics)[0]>['topics'][number];
  const topicOf = (name: string, more: Partial<Topic> = {}): Topic => ({
    name,
    numPartitions: 1,
    replicationFactor: 1,
    assignments: [],
    configs: [],
    ...more,
  });
  const create = (version: number, topics: Topic[], validateOnly = false) =>
    rig.run(rig.client.call(CreateTopics, version, { topics, validateOnly }));

  test('answers with partitions, replication factor, settings and id from version 5 and 7 on', async () => {
    const configs = [{ name: 'retention.ms', value: '1000' }];
    const [row] = (await create(7, [topicOf('ct-full', { numPartitions: 4, configs })])).topics;
    expect(row).toMatchObject({ errorCode: 0, numPartitions: 4, replicationFactor: 1 });
    expect(row?.topicId).not.toBe(ZERO_UUID);
    expect(row?.configs).toContainEqual({
      name: 'retention.ms',
      value: '1000',
      readOnly: false,
      configSource: 1,
      isSensitive: false,
    });
    expect(row?.configs?.map(({ name }) => name)).toContain('cleanup.policy');
  });

  test('partitions -1 and replication factor -1 are the defaults of the broker', async () => {
    const [row] = (await create(5, [topicOf('ct-default', { numPartitions: -1, replicationFactor: -1 })]))
      .topics;
    expect(row).toMatchObject({ errorCode: 0, numPartitions: 1, replicationFactor: 1 });
  });

  test('validateOnly answers as if it had created, and creates nothing', async () => {
    const asked = topicOf('ct-validate', {
      numPartitions: 3,
      configs: [{ name: 'retention.ms', value: '1000' }],
    });
    const [row] = (await create(7, [asked], true)).topics;
    expect(row).toMatchObject({ errorCode: 0, numPartitions: 3, replicationFactor: 1, topicId: ZERO_UUID });
    // Failure class: settings missing, which the Java client shows as those of the new topic.
    const valueOf = (name: string) => row?.configs?.find((config) => config.name === name);
    expect(valueOf('retention.ms')).toMatchObject({ value: '1000', configSource: 1 });
    expect(valueOf('cleanup.policy')).toMatchObject({ value: 'delete', configSource: 5 });
    const { topics } = await metadata(9, { topics: named('ct-validate'), allowAutoTopicCreation: false });
    expect(topics[0]?.errorCode).toBe(Errors.UNKNOWN_TOPIC_OR_PARTITION);
  });

  test('a topic named twice in one request fails for both, and others are made', async () => {
    const { topics } = await create(7, [topicOf('ct-twice'), topicOf('ct-once'), topicOf('ct-twice')]);
    expect(topics.map(({ name, errorCode }) => [name, errorCode])).toEqual([
      ['ct-twice', Errors.INVALID_REQUEST],
      ['ct-once', 0],
    ]);
  });

  test('what is there already, has a bad name, colliding name, bad size or bad setting is refused by name', async () => {
    await rig.topic('ct-there');
    await rig.topic('ct.collide');
    const { topics } = await create(7, [
      topicOf('ct-there'),
      topicOf('a/b'),
      topicOf('ct_collide'),
      topicOf('ct-zero', { numPartitions: 0 }),
      topicOf('ct-huge', { numPartitions: 2_000_000_000 }),
      topicOf('ct-bad', { configs: [{ name: 'retention.ms', value: 'soon' }] }),
      topicOf('ct-unknown', { configs: [{ name: 'no.such.setting', value: '1' }] }),
    ]);
    expect(topics.map(({ errorCode }) => errorCode)).toEqual([
      Errors.TOPIC_ALREADY_EXISTS,
      Errors.INVALID_TOPIC_EXCEPTION,
      Errors.INVALID_TOPIC_EXCEPTION,
      Errors.INVALID_PARTITIONS,
      Errors.INVALID_PARTITIONS,
      Errors.INVALID_CONFIG,
      Errors.INVALID_CONFIG,
    ]);
    expect(topics.every(({ errorMessage }) => (errorMessage ?? '').length > 0)).toBe(true);
  });
});

describe('DeleteTopics', () => {
  test('by name and by id; a new topic of the old name has a new id', async () => {
    const first = await rig.topic('dt-again');
    const byName = await rig.run(
      rig.client.call(DeleteTopics, 5, { topicNames: ['dt-again'], timeoutMs: 1000 }),
    );
    expect(byName.responses).toMatchObject([{ name: 'dt-again', errorCode: 0 }]);
    const second = await rig.topic('dt-again');
    expect(second).not.toBe(first);
    const byId = await rig.run(
      rig.client.call(DeleteTopics, 6, {
        topics: [
          { name: null, topicId: second },
          { name: null, topicId: first },
        ],
        timeoutMs: 1000,
      }),
    );
    expect(byId.responses).toMatchObject([
      { name: 'dt-again', topicId: second, errorCode: 0 },
      { topicId: first, errorCode: Errors.UNKNOWN_TOPIC_ID },
    ]);
  });

  test('unknown names, names with ids and names twice are refused, each in its row', async () => {
    const topicId = await rig.topic('dt-odd');
    const { responses } = await rig.run(
      rig.client.call(DeleteTopics, 6, {
        topics: [
          { name: 'dt-nobody', topicId: ZERO_UUID },
          { name: 'dt-odd', topicId },
          { name: null, topicId: ZERO_UUID },
          { name: 'dt-two', topicId: ZERO_UUID },
          { name: 'dt-two', topicId: ZERO_UUID },
        ],
        timeoutMs: 1000,
      }),
    );
    expect(responses.map(({ errorCode }) => errorCode)).toEqual([
      Errors.UNKNOWN_TOPIC_OR_PARTITION,
      Errors.INVALID_REQUEST,
      Errors.INVALID_REQUEST,
      Errors.INVALID_REQUEST,
      Errors.INVALID_REQUEST,
    ]);
  });
});

describe('CreatePartitions', () => {
  test('gives one row per topic: grown, not grown, shrunk, unknown, twice', async () => {
    await rig.topic('cp-grow');
    await rig.topic('cp-same', { partitions: 2 });
    const grow = (name: string, count: number) => ({ name, count, assignments: null });
    const { results } = await rig.run(
      rig.client.call(CreatePartitions, 3, {
        topics: [
          grow('cp-grow', 3),
          grow('cp-same', 2),
          grow('cp-none', 2),
          grow('cp-2', 1),
          grow('cp-2', 1),
        ],
        timeoutMs: 1000,
        validateOnly: false,
      }),
    );
    expect(results.map(({ name, errorCode }) => [name, errorCode])).toEqual([
      ['cp-grow', 0],
      ['cp-same', Errors.INVALID_PARTITIONS],
      ['cp-none', Errors.UNKNOWN_TOPIC_OR_PARTITION],
      ['cp-2', Errors.INVALID_REQUEST],
      ['cp-2', Errors.INVALID_REQUEST],
    ]);
    const { topics } = await metadata(9, { topics: named('cp-grow') });
    expect(topics[0]?.partitions).toHaveLength(3);
  });
});

describe('DescribeTopicPartitions', () => {
  const ask = (
    topics: string[],
    limit: number,
    cursor: { topicName: string; partitionIndex: number } | null = null,
  ) =>
    rig.run(
      rig.client.call(DescribeTopicPartitions, 0, {
        topics: topics.map((name) => ({ name })),
        responsePartitionLimit: limit,
        cursor,
      }),
    );

  test('pages through topics in the order of names, cutting inside a topic', async () => {
    await rig.topic('dtp-b', { partitions: 3 });
    await rig.topic('dtp-a', { partitions: 2 });
    const seen: string[] = [];
    let cursor: { topicName: string; partitionIndex: number } | null = null;
    let pages = 0;
    do {
      const page: Awaited<ReturnType<typeof ask>> = await ask(['dtp-b', 'dtp-a'], 2, cursor);
      for (const { name, partitions } of page.topics) {
        for (const { partitionIndex } of partitions) seen.push(`${name}/${partitionIndex}`);
      }
      cursor = page.nextCursor;
      pages += 1;
    } while (cursor !== null && pages < 10);
    expect(seen).toEqual(['dtp-a/0', 'dtp-a/1', 'dtp-b/0', 'dtp-b/1', 'dtp-b/2']);
    expect(pages).toBe(3);
  });

  test('lists for the Java client are empty, never null; unknown topics have their error', async () => {
    await rig.topic('dtp-c');
    const { topics, nextCursor } = await ask(['dtp-c', 'dtp-unknown', 'a/b'], 0);
    expect(topics.map(({ name }) => name)).toEqual(['a/b', 'dtp-c']);
    expect(nextCursor).toEqual({ topicName: 'dtp-unknown', partitionIndex: 0 });
    const rest = await ask(['dtp-unknown', 'a/b'], 100);
    expect(rest.topics.map(({ name, errorCode }) => [name, errorCode])).toEqual([
      ['a/b', Errors.INVALID_TOPIC_EXCEPTION],
      ['dtp-unknown', Errors.UNKNOWN_TOPIC_OR_PARTITION],
    ]);
    const [row] = (await ask(['dtp-c'], 100)).topics;
    expect(row?.partitions[0]).toMatchObject({
      eligibleLeaderReplicas: [],
      lastKnownElr: [],
      offlineReplicas: [],
    });
  });
});
