import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { AssignerProtocol } from 'kafkajs';
import { partitionForGroup } from '../../broker-runtime/src/coordinator/java-hash.ts';
import {
  decodeRecord,
  groupTombstone,
  offsetRecord,
  offsetTombstone,
} from '../../broker-runtime/src/coordinator/group-records.ts';
import { CoordinatorWorld, GROUP, commit, committed, stableGroup, stateOf } from './coordinator-world.ts';
import { subscriptionBytes } from './subscription-bytes.ts';

const hex = (bytes: Uint8Array | null): string =>
  bytes === null ? 'null' : Buffer.from(bytes).toString('hex');

describe('the partition of a group', () => {
  // Values of Java's "…".hashCode(): -1893530986 for instance is what jshell prints for the third.
  test.each([
    ['', 0],
    ['a', 97 % 50],
    ['group', 98_629_247 % 50],
    ['polygenelubricants', 0],
  ])("of '%s' is Java's abs(hashCode) %% 50", (groupId, partition) => {
    expect(partitionForGroup(groupId, 50)).toBe(partition);
  });

  test('is that of UTF-16 units, as in Java, and always a partition', () => {
    expect(partitionForGroup('\u{1F600}', 1_000_003)).toBe(
      Math.abs(((0xd83d * 31) | 0) + 0xde00) % 1_000_003,
    );
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 1000 }), (groupId, count) => {
        const partition = partitionForGroup(groupId, count);
        return Number.isInteger(partition) && partition >= 0 && partition < count;
      }),
    );
  });
});

describe("records in Kafka's own bytes", () => {
  test('an offset: key version 1, value version 3', () => {
    const value = { offset: 258, leaderEpoch: 7, metadata: 'm', commitWallMs: 1 };
    const record = offsetRecord('g', { topic: 'top', partition: 2 }, value);
    expect(hex(record.key)).toBe('0001' + '000167' + '0003746f70' + '00000002');
    expect(hex(record.value)).toBe('0003' + '0000000000000102' + '00000007' + '00016d' + '0000000000000001');
    expect(decodeRecord(record)).toEqual({
      kind: 'offset',
      groupId: 'g',
      key: { topic: 'top', partition: 2 },
      value,
    });
  });

  test('tombstones: the key alone', () => {
    expect(hex(groupTombstone('g').key)).toBe('0002' + '000167');
    expect(groupTombstone('g').value).toBeNull();
    const gone = offsetTombstone('g', { topic: 't', partition: 0 });
    expect(decodeRecord(gone)).toMatchObject({ kind: 'offset', value: undefined });
  });

  test('a group: key version 2, value version 3 with its members', async () => {
    const world = await CoordinatorWorld.start();
    const [member] = await stableGroup(world, [{ instanceId: 'i' }]);
    const [record] = await world.records();
    expect(hex(record?.key ?? null)).toBe('0002' + '0006' + hex(Buffer.from(GROUP)));
    expect(hex(record?.value ?? null).slice(0, 4)).toBe('0003');
    expect(record === undefined ? undefined : decodeRecord(record)).toMatchObject({
      kind: 'group',
      value: {
        protocolType: 'consumer',
        generation: 1,
        protocol: 'range',
        leader: member?.memberId,
        members: [{ memberId: member?.memberId, groupInstanceId: 'i', sessionTimeout: 10_000 }],
      },
    });
  });

  test.each([
    ['0', '0000' + '0000000000000005' + '00016d' + '0000000000000001'],
    [
      '1, with an expiry of its own',
      '0001' + '0000000000000005' + '00016d' + '0000000000000001' + 'ffffffffffffffff',
    ],
    ['2', '0002' + '0000000000000005' + '00016d' + '0000000000000001'],
    ['4, flexible', '0004' + '0000000000000005' + '00000003' + '026d' + '0000000000000001' + '00'],
  ])('an offset written by other Kafkas, version %s, is understood', (_version, value) => {
    const { key } = offsetRecord(
      'g',
      { topic: 't', partition: 0 },
      { offset: 0, leaderEpoch: 0, metadata: '', commitWallMs: 0 },
    );
    const replayed = decodeRecord({ key, value: Buffer.from(value, 'hex') });
    expect(replayed).toMatchObject({ value: { offset: 5, metadata: 'm', commitWallMs: 1 } });
  });

  test('the log holds only the last of each key once it was read in order', async () => {
    const world = await CoordinatorWorld.start();
    for (let offset = 0; offset < 5; offset++) await commit(world, { offset });
    expect(await world.records()).toHaveLength(5);
    expect(committed(await world.crash())).toBe(4);
  });
});

describe('subscriptions as clients encode them', () => {
  test.each([
    [
      'kafkajs',
      AssignerProtocol.MemberMetadata.encode({ version: 1, topics: ['events'], userData: Buffer.from('u') }),
    ],
    ['Java, eager (v0)', subscriptionBytes({ topics: ['events'], version: 0 })],
    ['Java, cooperative (v1)', subscriptionBytes({ topics: ['events'], version: 1 })],
    ['Java, with generation (v2)', subscriptionBytes({ topics: ['events'], version: 2 })],
    ['Java, with rack (v3)', subscriptionBytes({ topics: ['events'], version: 3 })],
    [
      'a version of the future',
      Uint8Array.from([0, 9, ...subscriptionBytes({ topics: ['events'], version: 3 }).subarray(2), 1, 2]),
    ],
  ])('%s: OffsetDelete sees the topic in it', async (_client, metadata) => {
    const world = await CoordinatorWorld.start();
    await stableGroup(world, [{ protocols: [{ name: 'range', metadata }] }]);
    expect(stateOf(world)).toBe('Stable');
    const deleted = await world.coordinator.deleteOffsets(GROUP, [
      { topic: 'events', partition: 0 },
      { topic: 'other', partition: 0 },
    ]);
    expect([...deleted.subscribed]).toEqual(['events']);
  });
});
