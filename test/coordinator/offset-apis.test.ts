import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import {
  OffsetDeleteRequest,
  OffsetDeleteResponse,
} from '../../broker-runtime/src/wire/messages/offset-delete.ts';
import {
  OffsetFetchRequest,
  OffsetFetchResponse,
} from '../../broker-runtime/src/wire/messages/offset-fetch.ts';
import type { Decoded } from '../../broker-runtime/src/wire/schema.ts';
import type { BrokerRig } from '../server/broker-rig.ts';
import {
  DescribeGroups,
  OffsetCommit,
  simpleCommit,
  stable,
  startCoordinator,
  TOPIC,
  versions,
} from './group-rig.ts';

const OffsetDelete = [OffsetDeleteRequest, OffsetDeleteResponse] as const;
const OffsetFetch = [OffsetFetchRequest, OffsetFetchResponse] as const;

let rig: BrokerRig;

beforeAll(async () => {
  rig = await startCoordinator();
});

afterAll(() => rig.close());

describe('offsets, version by version', () => {
  test.each(versions(2, 9))('OffsetCommit %d: an error for each partition', async (version) => {
    const answer = await simpleCommit(rig, `commit-${version}`, version, 40 + version);
    expect(answer.topics).toEqual([
      expect.objectContaining({
        name: TOPIC,
        partitions: [
          { partitionIndex: 0, errorCode: Errors.NONE },
          { partitionIndex: 9, errorCode: Errors.UNKNOWN_TOPIC_OR_PARTITION },
        ],
      }),
    ]);
  });

  test('OffsetCommit of a topic nobody knows: UNKNOWN_TOPIC_OR_PARTITION, and no group comes of it', async () => {
    const answer = await simpleCommit(rig, 'commit-nowhere', 9, 1, 'nowhere');
    expect(answer.topics[0]?.partitions.map(({ errorCode }) => errorCode)).toEqual([3, 3]);
    const { groups } = await rig.run(rig.client.call(DescribeGroups, 6, { groups: ['commit-nowhere'] }));
    expect(groups[0]?.errorCode).toBe(Errors.GROUP_ID_NOT_FOUND);
  });

  test.each([
    [8, Errors.ILLEGAL_GENERATION],
    [9, Errors.GROUP_ID_NOT_FOUND],
  ])('OffsetCommit %d of a member of an unknown group', async (version, errorCode) => {
    const answer = await rig.run(
      rig.client.call(OffsetCommit, version, {
        groupId: 'commit-unknown',
        generationIdOrMemberEpoch: 3,
        memberId: 'm',
        topics: [
          { name: TOPIC, partitions: [{ partitionIndex: 0, committedOffset: 1, committedMetadata: null }] },
        ],
      }),
    );
    expect(answer.topics[0]?.partitions[0]?.errorCode).toBe(errorCode);
  });

  test.each(versions(1, 7))('OffsetFetch %d: what was committed, -1 where nothing was', async (version) => {
    const groupId = `fetch-${version}`;
    await simpleCommit(rig, groupId, 9, 77);
    const answer = await rig.run(
      rig.client.call(OffsetFetch, version, {
        groupId,
        topics: [{ name: TOPIC, partitionIndexes: [0, 1] }],
        ...(version >= 7 ? { requireStable: true } : {}),
      }),
    );
    expect(answer).toMatchObject({
      errorCode: 0,
      topics: [
        {
          name: TOPIC,
          partitions: [
            { partitionIndex: 0, committedOffset: 77, metadata: 'm', errorCode: 0 },
            { partitionIndex: 1, committedOffset: -1, committedLeaderEpoch: -1, metadata: '', errorCode: 0 },
          ],
        },
      ],
    });
  });

  test.each(versions(2, 9))(
    'OffsetCommit %d: metadata of 4,096 characters and, from version 6 on, the leader epoch come back',
    async (version) => {
      const groupId = `commit-all-${version}`;
      const metadata = 'é'.repeat(4096);
      const answer = await rig.run(
        rig.client.call(OffsetCommit, version, {
          groupId,
          generationIdOrMemberEpoch: -1,
          memberId: '',
          topics: [
            {
              name: TOPIC,
              partitions: [
                {
                  partitionIndex: 0,
                  committedOffset: 7,
                  committedMetadata: metadata,
                  ...(version >= 6 ? { committedLeaderEpoch: 3 } : {}),
                },
                { partitionIndex: 1, committedOffset: 8, committedMetadata: null },
              ],
            },
          ],
        }),
      );
      expect(answer.topics[0]?.partitions.map(({ errorCode }) => errorCode)).toEqual([0, 0]);
      const { groups } = await rig.run(
        rig.client.call(OffsetFetch, 9, { groups: [{ groupId, topics: null }] }),
      );
      expect(groups[0]?.topics[0]?.partitions).toMatchObject([
        { committedOffset: 7, committedLeaderEpoch: version >= 6 ? 3 : -1, metadata },
        { committedOffset: 8, committedLeaderEpoch: -1, metadata: '' },
      ]);
    },
  );

  test.each(versions(2, 7))('OffsetFetch %d: null topics are all topics', async (version) => {
    await simpleCommit(rig, 'fetch-all', 9, 5);
    const answer = await rig.run(
      rig.client.call(OffsetFetch, version, { groupId: 'fetch-all', topics: null }),
    );
    expect(answer.topics).toMatchObject([
      { name: TOPIC, partitions: [{ partitionIndex: 0, committedOffset: 5 }] },
    ]);
  });

  test.each(versions(8, 9))('OffsetFetch %d: several groups at once', async (version) => {
    await simpleCommit(rig, 'fetch-many', 9, 6);
    const answer = await rig.run(
      rig.client.call(OffsetFetch, version, {
        groups: [
          { groupId: 'fetch-many', topics: null },
          { groupId: 'fetch-none', topics: [{ name: TOPIC, partitionIndexes: [1] }] },
        ],
      }),
    );
    expect(answer.groups).toMatchObject([
      { groupId: 'fetch-many', errorCode: 0, topics: [{ partitions: [{ committedOffset: 6 }] }] },
      { groupId: 'fetch-none', errorCode: 0, topics: [{ partitions: [{ committedOffset: -1 }] }] },
    ]);
  });

  test('OffsetDelete: an error for each partition', async () => {
    await simpleCommit(rig, 'delete-offsets', 9, 6);
    const remove = (groupId: string): Promise<Decoded<typeof OffsetDeleteResponse>> =>
      rig.run(
        rig.client.call(OffsetDelete, 0, {
          groupId,
          topics: [{ name: TOPIC, partitions: [{ partitionIndex: 0 }, { partitionIndex: 9 }] }],
        }),
      );
    const deleted = await remove('delete-offsets');
    expect(deleted.errorCode).toBe(Errors.NONE);
    expect(deleted.topics[0]?.partitions.map(({ errorCode }) => errorCode)).toEqual([
      Errors.NONE,
      Errors.UNKNOWN_TOPIC_OR_PARTITION,
    ]);
    expect((await remove('delete-nowhere')).errorCode).toBe(Errors.GROUP_ID_NOT_FOUND);
    await stable(rig, 'delete-subscribed');
    expect((await remove('delete-subscribed')).topics[0]?.partitions[0]?.errorCode).toBe(
      Errors.GROUP_SUBSCRIBED_TO_TOPIC,
    );
  });
});
