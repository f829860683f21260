import { Errors, type ErrorCode } from '../wire/errors.ts';
import type { CoordinatorPartition, OffsetToCommit } from './coordinator-partition.ts';
import { CoordinatorPartitions, type CoordinatorOptions } from './coordinator-partitions.ts';
import type { CommitterIdentity, JoinRequest, MemberIdentity, SyncRequest } from './group-requests.ts';
import type { Group } from './group.ts';
import type { GroupConfig } from './group-config.ts';
import type { GroupOffsets, OffsetKey } from './group-offsets.ts';
import { joinError, memberBytes, syncError, type JoinAnswer, type SyncAnswer } from './member.ts';
import type { GroupState } from './rebalance.ts';
import { isConsumerGroup, subscribedTopics } from './subscriptions.ts';

export type { CoordinatorOptions } from './coordinator-partitions.ts';
export type { OffsetToCommit } from './coordinator-partition.ts';
export type { CommitterIdentity, JoinRequest, MemberIdentity, SyncRequest } from './group-requests.ts';
export type { JoinAnswer, SyncAnswer } from './member.ts';
export type { CommittedOffset, GroupOffsets, OffsetKey } from './group-offsets.ts';

export interface GroupListing {
  readonly groupId: string;
  readonly protocolType: string;
  readonly state: GroupState;
}

export interface GroupDescription extends GroupListing {
  /** Empty unless the group is stable, as are the members' bytes. */
  readonly protocolName: string;
  readonly members: readonly MemberDescription[];
}

export interface MemberDescription {
  readonly memberId: string;
  readonly instanceId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  readonly metadata: Uint8Array;
  readonly assignment: Uint8Array;
}

const NO_BYTES = new Uint8Array(0);

/**
 * The group coordinator of this broker: classic consumer groups (and whatever else forms groups: Connect, Schema
 * Registry) and committed offsets. Checks what a request may ask at all and finds the group; the rules are
 * {@link Group}'s. Bytes of requests are copied here before they are kept.
 */
export class GroupCoordinator {
  readonly config: GroupConfig;
  readonly #partitions: CoordinatorPartitions;
  readonly #mayAnswerReaders: () => boolean;

  constructor(options: CoordinatorOptions) {
    this.config = options.config;
    this.#partitions = new CoordinatorPartitions(options);
    this.#mayAnswerReaders = options.mayAnswerReaders;
  }

  /** Begins to load the groups this broker coordinates. Returns at once; who asks too early is told to wait. */
  start(): void {
    this.#partitions.start();
  }

  /** Answers everyone who waits. Call before the WAL is closed. */
  close(): void {
    this.#partitions.close();
  }

  /** The node id of the group's coordinator, or why there is none. Creates `__consumer_offsets` on first use. */
  coordinatorOf(groupId: string): Promise<{ readonly error: ErrorCode; readonly nodeId: number }> {
    return this.#partitions.coordinatorOf(groupId);
  }

  /** JoinGroup: resolves when the group's next generation is known, or with an error. */
  join(groupId: string, request: JoinRequest): Promise<JoinAnswer> {
    const partition = this.#partitions.partitionOf(groupId);
    if (typeof partition === 'number') return Promise.resolve(joinError(request.memberId, partition));
    const refusal = this.#refuseJoin(request);
    if (refusal !== Errors.NONE) return Promise.resolve(joinError(request.memberId, refusal));
    const known = partition.group(groupId);
    if (known === undefined && request.memberId !== '') {
      return Promise.resolve(joinError(request.memberId, Errors.UNKNOWN_MEMBER_ID));
    }
    const group = known ?? partition.groupOrNew(groupId);
    if (group === undefined) return Promise.resolve(joinError('', Errors.GROUP_MAX_SIZE_REACHED));
    const protocols = request.protocols.map(({ name, metadata }) => ({
      name,
      metadata: new Uint8Array(metadata),
    }));
    return new Promise((resolve) => {
      group.join({ ...request, protocols }, resolve);
      partition.forgetIfUnused(group);
    });
  }

  /** SyncGroup: resolves with the member's share of the leader's assignment. */
  sync(groupId: string, request: SyncRequest): Promise<SyncAnswer> {
    const group = this.#groupOf(groupId);
    if (typeof group === 'number') {
      // Clients older than the error know this one, and join again, which is what a loaded group needs anyway.
      const isLoading = group === Errors.COORDINATOR_LOAD_IN_PROGRESS;
      return Promise.resolve(syncError(isLoading ? Errors.REBALANCE_IN_PROGRESS : group));
    }
    const assignments = new Map(
      Array.from(request.assignments, ([memberId, bytes]) => [memberId, new Uint8Array(bytes)]),
    );
    return new Promise((resolve) => {
      group.sync({ ...request, assignments }, resolve);
    });
  }

  heartbeat(groupId: string, identity: MemberIdentity, generationId: number): ErrorCode {
    const group = this.#groupOf(groupId);
    // Sessions start again when the group is loaded, so there is nothing to tell a member until then.
    if (group === Errors.COORDINATOR_LOAD_IN_PROGRESS) return Errors.NONE;
    return typeof group === 'number' ? group : group.heartbeat(identity, generationId);
  }

  /** LeaveGroup: one error for the request, and one for each member when that is NONE. */
  leave(
    groupId: string,
    members: readonly MemberIdentity[],
  ): { readonly error: ErrorCode; readonly memberErrors: readonly ErrorCode[] } {
    if (members.length > this.config.maxGroupSize) return { error: Errors.INVALID_REQUEST, memberErrors: [] };
    const group = this.#groupOf(groupId);
    if (group === Errors.UNKNOWN_MEMBER_ID)
      return { error: Errors.NONE, memberErrors: members.map(() => group) };
    if (typeof group === 'number') return { error: group, memberErrors: [] };
    if (group.state === 'Dead') return { error: Errors.COORDINATOR_NOT_AVAILABLE, memberErrors: [] };
    return { error: Errors.NONE, memberErrors: members.map((member) => group.leave(member)) };
  }

  /**
   * OffsetCommit: one error for each offset, in order. Resolves when the offsets are durable and visible.
   * `unknownGroup` is what a member of a group nobody knows is told: it depends on the version.
   */
  async commit(
    groupId: string,
    committer: CommitterIdentity,
    offsets: readonly OffsetToCommit[],
    unknownGroup: ErrorCode,
  ): Promise<readonly ErrorCode[]> {
    const all = (error: ErrorCode): readonly ErrorCode[] => offsets.map(() => error);
    const partition = this.#partitions.partitionOf(groupId, true);
    if (typeof partition === 'number') return all(partition);
    if (offsets.length > this.config.maxOffsetsPerRequest) return all(Errors.INVALID_REQUEST);
    const errors = offsets.map(({ committed }) => this.#refuseOffset(committed.offset, committed.metadata));
    const good = offsets.filter((_offset, at) => errors[at] === Errors.NONE);
    const error = await partition.commit(groupId, committer, good, unknownGroup);
    return error === Errors.NONE ? errors : all(error);
  }

  /** OffsetFetch: the committed offsets of a group; a group nobody knows has none. */
  offsetsOf(groupId: string): GroupOffsets | undefined | ErrorCode {
    const partition = this.#partitions.partitionOf(groupId, true);
    if (typeof partition === 'number') return partition;
    return this.#mayAnswerReaders() ? partition.group(groupId)?.offsets : Errors.NOT_COORDINATOR;
  }

  /** OffsetDelete: an error for the request, and the topics whose offsets stay because members subscribe to them. */
  async deleteOffsets(
    groupId: string,
    keys: readonly OffsetKey[],
  ): Promise<{ readonly error: ErrorCode; readonly subscribed: ReadonlySet<string> }> {
    const none = new Set<string>();
    const partition = this.#partitions.partitionOf(groupId, true);
    if (typeof partition === 'number') return { error: partition, subscribed: none };
    if (keys.length > this.config.maxOffsetsPerRequest)
      return { error: Errors.INVALID_REQUEST, subscribed: none };
    const group = partition.group(groupId);
    if (group === undefined || group.state === 'Dead') {
      return { error: Errors.GROUP_ID_NOT_FOUND, subscribed: none };
    }
    if (group.state !== 'Empty' && !isConsumerGroup(group))
      return { error: Errors.NON_EMPTY_GROUP, subscribed: none };

    const subscribed = new Set(keys.map(({ topic }) => topic).filter((topic) => isSubscribed(group, topic)));
    const held = keys.filter(
      ({ topic, partition: index }) =>
        !subscribed.has(topic) && group.offsets.get(topic, index) !== undefined,
    );
    const check = (chunk: readonly OffsetKey[]): ErrorCode => {
      if (group.state === 'Dead') return Errors.GROUP_ID_NOT_FOUND;
      const isTaken = chunk.some(({ topic }) => isSubscribed(group, topic));
      return isTaken ? Errors.GROUP_SUBSCRIBED_TO_TOPIC : Errors.NONE;
    };
    return { error: await partition.deleteOffsets(group, held, check), subscribed };
  }

  /** DescribeGroups; GROUP_ID_NOT_FOUND when there is no such group. */
  describe(groupId: string): GroupDescription | ErrorCode {
    const partition = this.#partitions.partitionOf(groupId, true);
    if (typeof partition === 'number') return partition;
    const group = partition.group(groupId);
    if (group === undefined || group.state === 'Dead') return Errors.GROUP_ID_NOT_FOUND;
    const isStable = group.state === 'Stable';
    const { protocolName } = group.rebalance;
    return {
      ...listing(group),
      protocolName: isStable ? (protocolName ?? '') : '',
      members: Array.from(group.members.all(), (member) => ({
        memberId: member.memberId,
        instanceId: member.instanceId,
        clientId: member.clientId,
        clientHost: member.clientHost,
        metadata: isStable ? member.metadataOf(protocolName) : NO_BYTES,
        assignment: isStable ? member.assignment : NO_BYTES,
      })),
    };
  }

  /** ListGroups: the groups this broker coordinates, with COORDINATOR_LOAD_IN_PROGRESS while some are missing. */
  list(): { readonly error: ErrorCode; readonly groups: readonly GroupListing[] } {
    const groups: GroupListing[] = [];
    for (const partition of this.#partitions.partitions()) {
      for (const group of partition.groups()) if (group.state !== 'Dead') groups.push(listing(group));
    }
    const error = this.#partitions.isLoading ? Errors.COORDINATOR_LOAD_IN_PROGRESS : Errors.NONE;
    return { error, groups };
  }

  /** DeleteGroups: a group without members goes, with its offsets. */
  async deleteGroup(groupId: string): Promise<ErrorCode> {
    const partition = this.#partitions.partitionOf(groupId, true);
    return typeof partition === 'number' ? partition : partition.deleteGroup(groupId);
  }

  /** A member can only speak of a group it joined: one nobody knows has lost it. */
  #groupOf(groupId: string): Group | ErrorCode {
    const partition: CoordinatorPartition | ErrorCode = this.#partitions.partitionOf(groupId);
    if (typeof partition === 'number') return partition;
    return partition.group(groupId) ?? Errors.UNKNOWN_MEMBER_ID;
  }

  #refuseJoin(request: JoinRequest): ErrorCode {
    const { minSessionTimeoutMs, maxSessionTimeoutMs, maxProtocolsPerMember, maxMemberBytes } = this.config;
    if (request.sessionTimeoutMs < minSessionTimeoutMs || request.sessionTimeoutMs > maxSessionTimeoutMs) {
      return Errors.INVALID_SESSION_TIMEOUT;
    }
    const { memberId, instanceId, clientId, protocolType, protocols } = request;
    const names = [memberId, instanceId ?? '', clientId, protocolType, ...protocols.map(({ name }) => name)];
    const tooLong = names.some((name) => name.length > this.config.maxIdLength);
    const tooLarge = protocols.length > maxProtocolsPerMember || memberBytes(request) > maxMemberBytes;
    return tooLong || tooLarge ? Errors.INVALID_REQUEST : Errors.NONE;
  }

  #refuseOffset(offset: number, metadata: string): ErrorCode {
    // -1 is what OffsetFetch answers for "none": a client may write it back.
    if (offset < -1) return Errors.INVALID_REQUEST;
    return metadata.length > this.config.maxOffsetMetadataLength
      ? Errors.OFFSET_METADATA_TOO_LARGE
      : Errors.NONE;
  }
}

/** When it cannot be told what consumers subscribe to, they are taken to subscribe to everything. */
function isSubscribed(group: Group, topic: string): boolean {
  if (group.state === 'Empty') return false;
  return subscribedTopics(group)?.has(topic) ?? true;
}

function listing(group: Group): GroupListing {
  return { groupId: group.id, protocolType: group.rebalance.protocolType ?? '', state: group.state };
}
