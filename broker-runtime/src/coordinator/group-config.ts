/**
 * Settings and limits of the group coordinator, in one table. Kafka's name stands beside those it has; every map,
 * list and wait of this room is bounded by a row here.
 */
export interface GroupConfig {
  /** Partitions of `__consumer_offsets` when it is created (`offsets.topic.num.partitions`). */
  readonly offsetsTopicPartitions: number;
  /** Segment size of `__consumer_offsets` (`offsets.topic.segment.bytes`). */
  readonly offsetsTopicSegmentBytes: number;

  /** `group.min.session.timeout.ms`, `group.max.session.timeout.ms`: outside is INVALID_SESSION_TIMEOUT. */
  readonly minSessionTimeoutMs: number;
  readonly maxSessionTimeoutMs: number;
  /** How long the first rebalance of an empty group waits for more members (`group.initial.rebalance.delay.ms`). */
  readonly initialRebalanceDelayMs: number;
  /** A new member whose JoinGroup is parked longer than this is dropped: it cannot send heartbeats yet. */
  readonly newMemberJoinTimeoutMs: number;

  /** Longest metadata string of one committed offset (`offset.metadata.max.bytes`), in characters as Kafka counts. */
  readonly maxOffsetMetadataLength: number;
  /** How long offsets live after their group became empty (`offsets.retention.minutes`). */
  readonly offsetsRetentionMs: number;
  /** `offsets.retention.check.interval.ms`. */
  readonly offsetsRetentionCheckMs: number;
  /** How long a partition of `__consumer_offsets` whose loading failed is left alone before the next try. */
  readonly loadRetryMs: number;

  /** Members of one group (`group.max.size`): GROUP_MAX_SIZE_REACHED. */
  readonly maxGroupSize: number;
  /** Member ids handed out and not yet used to join (KIP-394), per group: GROUP_MAX_SIZE_REACHED. */
  readonly maxPendingMembers: number;
  /** Groups of one coordinator partition: GROUP_MAX_SIZE_REACHED when joining, INVALID_REQUEST when committing. */
  readonly maxGroupsPerPartition: number;
  /** Ids, protocol names and metadata that one member makes us keep: INVALID_REQUEST. */
  readonly maxMemberBytes: number;
  /** The same over all members of a group: GROUP_MAX_SIZE_REACHED. */
  readonly maxGroupBytes: number;
  /** Characters of a group id (INVALID_GROUP_ID), or of any other id and name in JoinGroup (INVALID_REQUEST). */
  readonly maxIdLength: number;
  /** Protocols one member may list: INVALID_REQUEST. */
  readonly maxProtocolsPerMember: number;
  /** Offsets one OffsetCommit or OffsetDelete may name: INVALID_REQUEST. */
  readonly maxOffsetsPerRequest: number;
  /** Bytes of one batch in the log: INVALID_COMMIT_OFFSET_SIZE for a commit, UNKNOWN_SERVER_ERROR for an assignment. */
  readonly maxBatchBytes: number;
  /** Groups one DescribeGroups, DeleteGroups, OffsetFetch or FindCoordinator may name: INVALID_REQUEST. */
  readonly maxGroupsPerRequest: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;
const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const DAY_MS = 24 * 60 * MINUTE_MS;

export const DEFAULT_GROUP_CONFIG: GroupConfig = {
  offsetsTopicPartitions: 50,
  offsetsTopicSegmentBytes: 100 * MIB,
  minSessionTimeoutMs: 6 * SECOND_MS,
  maxSessionTimeoutMs: 30 * MINUTE_MS,
  initialRebalanceDelayMs: 3 * SECOND_MS,
  newMemberJoinTimeoutMs: 5 * MINUTE_MS,
  maxOffsetMetadataLength: 4096,
  offsetsRetentionMs: 7 * DAY_MS,
  offsetsRetentionCheckMs: 10 * MINUTE_MS,
  loadRetryMs: SECOND_MS,
  // Kafka has no bound. Rebalances of classic groups become useless long before: every member waits for all others.
  maxGroupSize: 5_000,
  maxPendingMembers: 5_000,
  maxGroupsPerPartition: 10_000,
  // Streams describes its tasks in here: some hundred KiB in large topologies.
  maxMemberBytes: MIB,
  // Several protocols a member; the record of the group holds only the chosen one.
  maxGroupBytes: 8 * MIB,
  // 3 bytes each in UTF-8, and a string of a record is at most 32,767 bytes long.
  maxIdLength: 10_000,
  // Java lists up to 4 assignors, Connect 3 protocols.
  maxProtocolsPerMember: 64,
  maxOffsetsPerRequest: 20_000,
  // max.message.bytes of the topic, as in Kafka: its default of 1 MiB and a header.
  maxBatchBytes: MIB,
  maxGroupsPerRequest: 10_000,
};
