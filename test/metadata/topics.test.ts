import { beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { topicNameProblem } from '../../broker-runtime/src/metadata/topic-name.ts';
import { newTopicId } from '../../broker-runtime/src/metadata/topics/topic-id.ts';
import { MetadataImage } from '../../broker-runtime/src/metadata/metadata-image.ts';
import { JournalClosedError } from '../../broker-runtime/src/wal/journal.ts';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import { SimRandom } from '../simulation/world/sim-random.ts';
import { createTopic, openMetadata, topicRequest } from './metadata-world.ts';
import type { World } from './metadata-world.ts';

let world: World;
beforeEach(async () => {
  world = await openMetadata();
});

describe('creating topics', () => {
  test('gives every partition two streams of its own, in the entry that creates the topic', async () => {
    const before = world.journal.committedSequence;
    const results = await world.metadata.createTopics(
      [topicRequest('a', { partitionCount: 2 }), topicRequest('b')],
      false,
    );
    expect(results.map((result) => result.error)).toEqual([Errors.NONE, Errors.NONE]);
    expect(world.journal.committedSequence).toBe(before + 1);
    const streams = [...world.metadata.topics()].flatMap((topic) =>
      topic.partitions.flatMap((partition) => [partition.dataStreamId, partition.stateStreamId]),
    );
    expect(streams).toEqual([1, 2, 3, 4, 5, 6]);
    expect([...world.manifest.streamIds()]).toEqual(streams);
  });

  test('topics, ids and streams are the same after a restart', async () => {
    await createTopic(world, 'a', { partitionCount: 3, configs: [{ name: 'retention.ms', value: '1000' }] });
    const before = world.metadata.topicByName('a');
    await world.journal.close();
    const after = await openMetadata({}, world);
    expect(after.metadata.topicByName('a')).toEqual(before);
    expect(after.metadata.topicById(before?.id ?? '')).toEqual(before);
    expect(after.metadata.topicConfig('a')).toEqual(new Map([['retention.ms', '1000']]));
    expect(after.metadata.clusterId).toBe(world.metadata.clusterId);
  });

  test('validateOnly checks everything and changes nothing', async () => {
    const before = world.journal.committedSequence;
    const [fine, wrong] = await world.metadata.createTopics([topicRequest('a'), topicRequest('.')], true);
    expect(fine).toMatchObject({ error: Errors.NONE, topic: { name: 'a', partitions: [{ index: 0 }] } });
    expect(wrong?.error).toBe(Errors.INVALID_TOPIC_EXCEPTION);
    expect([...world.metadata.topics(), ...world.manifest.streamIds(), ...world.changes]).toEqual([]);
    expect(world.journal.committedSequence).toBe(before);
  });

  test('listeners learn of it when it is committed, not before', async () => {
    world.store.unavailable = true;
    const creating = createTopic(world, 'a');
    await world.env.clock.advance(1_000);
    expect(world.changes).toEqual([]);
    world.store.unavailable = false;
    await world.env.clock.run(creating);
    expect(world.changes.map((change) => change.created.map((topic) => topic.name))).toEqual([['a']]);
  });

  test('is not reported as failed when the journal stops with the outcome unknown (I21)', async () => {
    world.store.failNext('put', { kind: 'lose-answer' });
    world.store.faults = (operation) => (operation === 'put' ? { kind: 'fail' } : undefined);
    const creating = createTopic(world, 'a').catch((error: unknown) => error);
    await world.env.clock.advance(100);
    await world.env.clock.run(world.journal.close());
    expect(await creating).toBeInstanceOf(JournalClosedError);
    const after = await openMetadata({}, world);
    expect(after.metadata.topicByName('a')).toBeDefined();
  });

  test.each([
    ['an empty name', topicRequest(''), Errors.INVALID_TOPIC_EXCEPTION],
    ['two dots', topicRequest('..'), Errors.INVALID_TOPIC_EXCEPTION],
    ['a space', topicRequest('a b'), Errors.INVALID_TOPIC_EXCEPTION],
    ['250 characters', topicRequest('x'.repeat(250)), Errors.INVALID_TOPIC_EXCEPTION],
    ['Kafka’s own metadata topic', topicRequest('__cluster_metadata'), Errors.INVALID_REQUEST],
    ['no partitions', topicRequest('a', { partitionCount: 0 }), Errors.INVALID_PARTITIONS],
    ['minus two partitions', topicRequest('a', { partitionCount: -2 }), Errors.INVALID_PARTITIONS],
    ['too many partitions', topicRequest('a', { partitionCount: 10_001 }), Errors.INVALID_PARTITIONS],
    ['no replicas', topicRequest('a', { replicationFactor: 0 }), Errors.INVALID_REPLICATION_FACTOR],
    [
      'an unknown setting',
      topicRequest('a', { configs: [{ name: 'no.such', value: '1' }] }),
      Errors.INVALID_CONFIG,
    ],
    [
      'a bad setting',
      topicRequest('a', { configs: [{ name: 'retention.ms', value: 'x' }] }),
      Errors.INVALID_CONFIG,
    ],
    [
      'a null setting',
      topicRequest('a', { configs: [{ name: 'retention.ms', value: null }] }),
      Errors.INVALID_CONFIG,
    ],
  ])('%s is refused', async (_what, request, error) => {
    const [result] = await world.metadata.createTopics([request], false);
    expect(result?.error).toBe(error);
    expect(result?.message).toBeTruthy();
    expect([...world.metadata.topics()]).toEqual([]);
  });

  test('an existing name, a colliding name, and a name twice in one request', async () => {
    await createTopic(world, 'a.b');
    expect((await createTopic(world, 'a.b')).error).toBe(Errors.TOPIC_ALREADY_EXISTS);
    expect((await createTopic(world, 'a_b')).error).toBe(Errors.INVALID_TOPIC_EXCEPTION);
    const results = await world.metadata.createTopics(
      [topicRequest('x'), topicRequest('y'), topicRequest('x'), topicRequest('p.q'), topicRequest('p_q')],
      false,
    );
    expect(results.map((result) => result.error)).toEqual([
      Errors.INVALID_REQUEST,
      Errors.NONE,
      Errors.INVALID_REQUEST,
      Errors.NONE,
      Errors.INVALID_TOPIC_EXCEPTION,
    ]);
    expect([...world.metadata.topics()].map((topic) => topic.name)).toEqual(['a.b', 'y', 'p.q']);
  });

  test('-1 means the broker’s defaults', async () => {
    const other = await openMetadata({ staticSettings: { 'num.partitions': '4' } });
    const { topic } = await createTopic(other, 'a', { partitionCount: -1, replicationFactor: -1 });
    expect(topic?.partitions).toHaveLength(4);
  });

  test('any replication factor is accepted, because the storage replicates; or none above the brokers', async () => {
    expect((await createTopic(world, 'three', { replicationFactor: 3 })).error).toBe(Errors.NONE);
    const strict = await openMetadata({ limits: { acceptAnyReplicationFactor: false } });
    expect((await createTopic(strict, 'three', { replicationFactor: 3 })).error).toBe(
      Errors.INVALID_REPLICATION_FACTOR,
    );
  });

  test('the partitions of all topics together are limited', async () => {
    const small = await openMetadata({ limits: { maxPartitions: 5 } });
    const results = await small.metadata.createTopics(
      [
        topicRequest('a', { partitionCount: 3 }),
        topicRequest('b', { partitionCount: 3 }),
        topicRequest('c', { partitionCount: 2 }),
      ],
      false,
    );
    expect(results.map((result) => result.error)).toEqual([
      Errors.NONE,
      Errors.POLICY_VIOLATION,
      Errors.NONE,
    ]);
    expect((await small.metadata.createPartitions('c', 3, false)).error).toBe(Errors.POLICY_VIOLATION);
    await small.metadata.deleteTopics([small.metadata.topicByName('a')?.id ?? '']);
    expect((await small.metadata.createPartitions('c', 3, false)).error).toBe(Errors.NONE);
  });

  test('the coordinators’ topics are internal, by name or by wish', async () => {
    expect((await createTopic(world, '__consumer_offsets')).topic?.internal).toBe(true);
    expect((await createTopic(world, 'mine', { internal: true })).topic?.internal).toBe(true);
    expect((await createTopic(world, 'plain')).topic?.internal).toBe(false);
  });
});

describe('assignments by hand', () => {
  const byHand = (...lists: number[][]) => ({
    partitionCount: -1,
    replicationFactor: -1,
    assignments: lists.map((brokerIds, partition) => ({ partition, brokerIds })),
  });

  test('decide how many partitions there are and who leads', async () => {
    const { topic } = await createTopic(world, 'a', byHand([0], [0]));
    expect(topic?.partitions.map((partition) => partition.leaderId)).toEqual([0, 0]);
  });

  test.each([
    ['partitions given as well', { ...byHand([0]), partitionCount: 1 }, Errors.INVALID_REQUEST],
    ['replicas given as well', { ...byHand([0]), replicationFactor: 1 }, Errors.INVALID_REQUEST],
    ['an empty list', byHand([]), Errors.INVALID_REPLICA_ASSIGNMENT],
    ['an unknown broker', byHand([0], [7]), Errors.INVALID_REPLICA_ASSIGNMENT],
    ['a broker twice', byHand([0, 0]), Errors.INVALID_REPLICA_ASSIGNMENT],
    [
      'a gap',
      { ...byHand(), assignments: [{ partition: 1, brokerIds: [0] }] },
      Errors.INVALID_REPLICA_ASSIGNMENT,
    ],
    [
      'a partition twice',
      { ...byHand(), assignments: [0, 0].map((partition) => ({ partition, brokerIds: [0] })) },
      Errors.INVALID_REPLICA_ASSIGNMENT,
    ],
  ])('%s is refused', async (_what, fields, error) => {
    expect((await createTopic(world, 'a', fields)).error).toBe(error);
  });
});

describe('adding partitions', () => {
  test('keeps the old ones and gives new ones their streams; listeners see the grown topic', async () => {
    await createTopic(world, 'a', { partitionCount: 2 });
    const before = world.metadata.topicByName('a')?.partitions;
    expect(await world.metadata.createPartitions('a', 4, false)).toMatchObject({ error: Errors.NONE });
    const after = world.metadata.topicByName('a')?.partitions ?? [];
    expect(after.slice(0, 2)).toEqual(before);
    expect(after.map((partition) => partition.index)).toEqual([0, 1, 2, 3]);
    expect([...world.manifest.streamIds()]).toHaveLength(8);
    expect(world.changes.at(-1)?.changed[0]?.partitions).toHaveLength(4);
  });

  test.each([
    ['fewer', 1, undefined, Errors.INVALID_PARTITIONS],
    ['as many', 2, undefined, Errors.INVALID_PARTITIONS],
    ['too many', 10_001, undefined, Errors.INVALID_PARTITIONS],
    ['too few assignments', 4, [[0]], Errors.INVALID_REPLICA_ASSIGNMENT],
    ['an unknown broker', 3, [[9]], Errors.INVALID_REPLICA_ASSIGNMENT],
  ])('%s is refused', async (_what, count, assignments, error) => {
    await createTopic(world, 'a', { partitionCount: 2 });
    const result = await world.metadata.createPartitions('a', count, false, assignments);
    expect(result.error).toBe(error);
    expect(world.metadata.topicByName('a')?.partitions).toHaveLength(2);
  });

  test('of an unknown topic, and only as a validation', async () => {
    expect((await world.metadata.createPartitions('a', 2, false)).error).toBe(
      Errors.UNKNOWN_TOPIC_OR_PARTITION,
    );
    await createTopic(world, 'a');
    expect((await world.metadata.createPartitions('a', 2, true)).error).toBe(Errors.NONE);
    expect(world.metadata.topicByName('a')?.partitions).toHaveLength(1);
  });
});

describe('deleting topics', () => {
  test('I38: the id is gone with its streams, and the same name gets another id', async () => {
    const first = (await createTopic(world, 'a', { partitionCount: 2 })).topic;
    const [deleted] = await world.metadata.deleteTopics([first?.id ?? '']);
    expect(deleted).toMatchObject({ error: Errors.NONE, topic: { name: 'a' } });
    expect([...world.manifest.streamIds()]).toEqual([]);
    expect(world.metadata.topicById(first?.id ?? '')).toBeUndefined();
    expect(world.changes.at(-1)?.deleted).toEqual([first]);
    const second = (await createTopic(world, 'a')).topic;
    expect(second?.id).not.toBe(first?.id);
    expect(second?.partitions[0]?.dataStreamId).toBeGreaterThan(4);
  });

  test('an unknown id, one id twice, and deletion switched off', async () => {
    const id = (await createTopic(world, 'a')).topic?.id ?? '';
    const errors = async (ids: string[]): Promise<number[]> =>
      (await world.metadata.deleteTopics(ids)).map((result) => result.error);
    expect(await errors(['AAAAAAAAAAAAAAAAAAAAAA'])).toEqual([Errors.UNKNOWN_TOPIC_ID]);
    expect(await errors([id, id])).toEqual([Errors.INVALID_REQUEST, Errors.INVALID_REQUEST]);
    const off = await openMetadata({ staticSettings: { 'delete.topic.enable': 'false' } });
    const kept = (await createTopic(off, 'a')).topic?.id ?? '';
    expect((await off.metadata.deleteTopics([kept]))[0]?.error).toBe(Errors.TOPIC_DELETION_DISABLED);
  });

  test('a topic changed and deleted in one entry is told as deleted only', () => {
    const image = new MetadataImage();
    const apply = (...records: Parameters<MetadataImage['record']>[0][]): void => {
      for (const record of records) image.apply(image.record(record).bytes, 1);
    };
    const topicId = 'jUVCqicEQIibypiuMMRapQ';
    const partitions = { firstStreamId: 1, leaderIds: [0] };
    apply({ type: 'topic-created', topicId, name: 'a', internal: false, partitions });
    expect(image.takeChanges()).toMatchObject({ created: [{ id: topicId }], changed: [], deleted: [] });
    apply({ type: 'partitions-added', topicId, partitions: { firstStreamId: 3, leaderIds: [0] } });
    apply({ type: 'topic-deleted', topicId });
    expect(image.takeChanges()).toMatchObject({ created: [], changed: [], deleted: [{ id: topicId }] });
    expect(image.takeChanges()).toMatchObject({ created: [], changed: [], deleted: [] });
  });
});

describe('topic names and ids', () => {
  test('names have 1 to 249 letters, digits, dots, underscores and dashes', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-zA-Z0-9._-]{1,249}$/), (name) => {
        expect(topicNameProblem(name) === undefined).toBe(name !== '.' && name !== '..');
      }),
    );
    expect(topicNameProblem('größe')).toContain('ASCII');
  });

  test('ids are 22 characters and never begin with a dash', () => {
    const random = new SimRandom(3);
    const ids = Array.from({ length: 2_000 }, () => newTopicId(random, () => false));
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id).toMatch(/^[A-Za-z0-9_][A-Za-z0-9_-]{21}$/);
  });
});
