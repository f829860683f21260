import { decodeVersioned, encodeVersioned, versionOf } from '../wire/codec.ts';
import {
  GroupMetadataKey,
  GroupMetadataValue,
  OffsetCommitKey,
  OffsetCommitValue,
} from '../wire/messages/group-records.ts';
import type { Group } from './group.ts';
import type { CommittedOffset, OffsetKey } from './group-offsets.ts';
import { NO_BYTES } from './member.ts';
import type { OffsetRecord } from './offsets-log.ts';

/**
 * What the coordinator writes into `__consumer_offsets`, in Kafka's own formats so that Kafka's tools read it
 * (kafka-dump-log --offsets-decoder). Keys decide what a record is about by their version:
 *
 *   0, 1  one offset of one group: group, topic, partition
 *   2     a group: its id
 *
 * Values are written at version 3, the highest that every Kafka since 2.3 reads; up to 4 is understood.
 */
const OFFSET_KEY_VERSION = 1;
const GROUP_KEY_VERSION = 2;
const VALUE_VERSION = 3;

/** A record of the log, understood. `value` undefined is a tombstone. */
export type ReplayedRecord =
  | {
      readonly kind: 'offset';
      readonly groupId: string;
      readonly key: OffsetKey;
      readonly value: CommittedOffset | undefined;
    }
  | { readonly kind: 'group'; readonly groupId: string; readonly value: GroupMetadataValue | undefined }
  /** A newer Kafka's kind of group: kept in the log, not served. */
  | { readonly kind: 'unknown'; readonly keyVersion: number };

/** @throws {DecodeError} for a damaged record or a value version this broker does not know: never guessed at */
export function decodeRecord({ key, value }: OffsetRecord): ReplayedRecord {
  const keyVersion = versionOf(key);
  if (keyVersion === GROUP_KEY_VERSION) {
    return {
      kind: 'group',
      groupId: decodeVersioned(GroupMetadataKey, key).group,
      // A copy: metadata and assignments stay views of what they are decoded from, for as long as the group lives.
      value: value === null ? undefined : decodeVersioned(GroupMetadataValue, new Uint8Array(value)),
    };
  }
  if (keyVersion < 0 || keyVersion > OFFSET_KEY_VERSION) return { kind: 'unknown', keyVersion };
  const { group, topic, partition } = decodeVersioned(OffsetCommitKey, key);
  return {
    kind: 'offset',
    groupId: group,
    key: { topic, partition },
    value: value === null ? undefined : committedOffset(decodeVersioned(OffsetCommitValue, value)),
  };
}

export function offsetRecord(groupId: string, key: OffsetKey, value: CommittedOffset): OffsetRecord {
  return {
    key: offsetKey(groupId, key),
    value: encodeVersioned(OffsetCommitValue, VALUE_VERSION, {
      offset: value.offset,
      leaderEpoch: value.leaderEpoch,
      metadata: value.metadata,
      commitTimestamp: value.commitWallMs,
    }),
  };
}

export function offsetTombstone(groupId: string, key: OffsetKey): OffsetRecord {
  return { key: offsetKey(groupId, key), value: null };
}

/** The group as it stands, with assignments that may not be in force yet. */
export function groupRecord(group: Group, assignments: ReadonlyMap<string, Uint8Array>): OffsetRecord {
  const { generationId, protocolType, protocolName, stateSinceWallMs } = group.rebalance;
  return {
    key: groupKey(group.id),
    value: encodeVersioned(GroupMetadataValue, VALUE_VERSION, {
      protocolType: protocolType ?? '',
      generation: generationId,
      protocol: protocolName ?? null,
      leader: group.members.leaderId ?? null,
      currentStateTimestamp: stateSinceWallMs,
      members: [...group.members.all()].map((member) => ({
        memberId: member.memberId,
        groupInstanceId: member.instanceId,
        clientId: member.clientId,
        clientHost: member.clientHost,
        rebalanceTimeout: member.rebalanceTimeoutMs,
        sessionTimeout: member.sessionTimeoutMs,
        subscription: member.metadataOf(protocolName),
        assignment: assignments.get(member.memberId) ?? NO_BYTES,
      })),
    }),
  };
}

export function groupTombstone(groupId: string): OffsetRecord {
  return { key: groupKey(groupId), value: null };
}

/** Fills a fresh group with what its record says. Its members are taken for alive: their sessions start again. */
export function restoreGroup(group: Group, value: GroupMetadataValue): void {
  for (const member of value.members) {
    group.restoreMember(
      {
        memberId: member.memberId,
        instanceId: member.groupInstanceId,
        clientId: member.clientId,
        clientHost: member.clientHost,
        sessionTimeoutMs: member.sessionTimeout,
        // Version 0 had none: the session timeout stood for both.
        rebalanceTimeoutMs: member.rebalanceTimeout > 0 ? member.rebalanceTimeout : member.sessionTimeout,
        protocols: [{ name: value.protocol ?? '', metadata: member.subscription }],
      },
      member.assignment,
    );
  }
  group.members.restoreLeader(value.leader);
  group.rebalance.restore({
    generationId: value.generation,
    protocolType: value.protocolType === '' ? undefined : value.protocolType,
    protocolName: value.protocol ?? undefined,
    stateSinceWallMs: value.currentStateTimestamp,
  });
}

function offsetKey(groupId: string, { topic, partition }: OffsetKey): Uint8Array {
  return encodeVersioned(OffsetCommitKey, OFFSET_KEY_VERSION, { group: groupId, topic, partition });
}

function groupKey(groupId: string): Uint8Array {
  return encodeVersioned(GroupMetadataKey, GROUP_KEY_VERSION, { group: groupId });
}

function committedOffset(value: OffsetCommitValue): CommittedOffset {
  return {
    offset: value.offset,
    leaderEpoch: value.leaderEpoch,
    metadata: value.metadata,
    commitWallMs: value.commitTimestamp,
  };
}
