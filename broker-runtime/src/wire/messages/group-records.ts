import { message, bytes, int32, int64, string, uuid, array, type Decoded } from '../schema.ts';

/**
 * The records of `__consumer_offsets`. Key and value each begin with their version (see `encodeVersioned`), and the
 * key's version also says what the record is about:
 *
 *   key version 0, 1 = OffsetCommitKey       value null = the offset is gone
 *   key version 2    = GroupMetadataKey      value null = the group is gone
 *
 * Higher key versions are newer kinds of groups. They are skipped by who does not know them, never deleted.
 */
export const OffsetCommitKey = message({
  name: 'OffsetCommitKey',
  versions: '0-1',
  flexible: 'none',
  fields: {
    group: string('0+'),
    topic: string('0+'),
    partition: int32('0+'),
  },
});
export type OffsetCommitKey = Decoded<typeof OffsetCommitKey>;

export const OffsetCommitValue = message({
  name: 'OffsetCommitValue',
  versions: '0-4',
  flexible: '4+',
  fields: {
    offset: int64('0+'),
    leaderEpoch: int32('3+', { default: -1, ignorable: true }),
    metadata: string('0+'),
    commitTimestamp: int64('0+'),
    expireTimestamp: int64('1', { default: -1, ignorable: true }),
    topicId: uuid('4+', { tag: 0, ignorable: true }),
  },
});
export type OffsetCommitValue = Decoded<typeof OffsetCommitValue>;

export const GroupMetadataKey = message({
  name: 'GroupMetadataKey',
  versions: '2',
  flexible: 'none',
  fields: { group: string('2+') },
});
export type GroupMetadataKey = Decoded<typeof GroupMetadataKey>;

export const GroupMetadataValue = message({
  name: 'GroupMetadataValue',
  versions: '0-4',
  flexible: '4+',
  fields: {
    protocolType: string('0+'),
    generation: int32('0+'),
    protocol: string('0+', { nullable: '0+' }),
    leader: string('0+', { nullable: '0+' }),
    currentStateTimestamp: int64('2+', { default: -1, ignorable: true }),
    members: array('0+', {
      memberId: string('0+'),
      groupInstanceId: string('3+', { nullable: '3+', default: null, ignorable: true }),
      clientId: string('0+'),
      clientHost: string('0+'),
      rebalanceTimeout: int32('1+', { default: -1, ignorable: true }),
      sessionTimeout: int32('0+'),
      subscription: bytes('0+'),
      assignment: bytes('0+'),
    }),
  },
});
export type GroupMetadataValue = Decoded<typeof GroupMetadataValue>;
