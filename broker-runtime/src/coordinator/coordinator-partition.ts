import { EntryTooLargeError, WalClosedError } from '../wal/wal.ts';
import type { Env } from '../ports/env.ts';
import { Errors, type ErrorCode } from '../wire/errors.ts';
import type { CommitterIdentity } from './group-requests.ts';
import { Group, type GroupHost } from './group.ts';
import type { GroupConfig } from './group-config.ts';
import type { CommittedOffset, OffsetKey } from './group-offsets.ts';
import {
  decodeRecord,
  groupRecord,
  groupTombstone,
  offsetRecord,
  offsetTombstone,
  restoreGroup,
} from './group-records.ts';
import type { GroupMetadataValue } from '../wire/messages/group-records.ts';
import type { OffsetRecord, OffsetsLog } from './offsets-log.ts';
import { expiredOffsets } from './offset-retention.ts';

export interface OffsetToCommit extends OffsetKey {
  readonly committed: CommittedOffset;
}

/** Records of one batch when many are deleted: some 100 bytes each, so a batch stays near 100 KiB. */
const TOMBSTONES_PER_BATCH = 1000;

/**
 * The groups whose ids hash to one partition of `__consumer_offsets`, and their log. Every change is a record first:
 * it is answered, and seen by others, once the record is durable.
 */
export class CoordinatorPartition implements GroupHost {
  readonly index: number;
  readonly clock: Env['clock'];
  readonly config: GroupConfig;
  readonly #env: Env;
  readonly #log: OffsetsLog;
  readonly #onFailed: (error: unknown) => void;
  readonly #groups = new Map<string, Group>();
  #unloaded = false;

  constructor(
    index: number,
    env: Env,
    config: GroupConfig,
    log: OffsetsLog,
    onFailed: (error: unknown) => void,
  ) {
    this.index = index;
    this.clock = env.clock;
    this.config = config;
    this.#env = env;
    this.#log = log;
    this.#onFailed = onFailed;
  }

  /** Reads the whole log into memory. Nothing is served before. @throws (rejects) as {@link OffsetsLog.replay} */
  async load(): Promise<void> {
    const metadata = new Map<string, GroupMetadataValue>();
    await this.#log.replay((record, offset) => {
      const replayed = decodeRecord(record);
      if (replayed.kind === 'offset') {
        this.#groupOrNew(replayed.groupId).offsets.restore(replayed.key, offset, replayed.value);
      } else if (replayed.kind === 'group') {
        if (replayed.value === undefined) metadata.delete(replayed.groupId);
        else metadata.set(replayed.groupId, replayed.value);
      }
    });
    if (this.#unloaded) return;
    for (const [groupId, value] of metadata) restoreGroup(this.#groupOrNew(groupId), value);
    for (const group of this.#groups.values()) {
      if (group.isUnused) this.#groups.delete(group.id);
      else group.shrinkIfTooLarge();
    }
  }

  /** This broker no longer coordinates these groups: everyone who waits is sent to look for who does. */
  unload(): void {
    this.#unloaded = true;
    for (const group of this.#groups.values()) group.unload(Errors.NOT_COORDINATOR);
    this.#groups.clear();
  }

  group(groupId: string): Group | undefined {
    return this.#groups.get(groupId);
  }

  groups(): Iterable<Group> {
    return this.#groups.values();
  }

  /** The group, made if there is room for one more. */
  groupOrNew(groupId: string): Group | undefined {
    const isFull = this.#groups.size >= this.config.maxGroupsPerPartition;
    if (isFull && !this.#groups.has(groupId)) return undefined;
    return this.#groupOrNew(groupId);
  }

  /** Forgets a group that was made for a request which came to nothing. The log has never heard of it. */
  forgetIfUnused(group: Group): void {
    if (group.isUnused) this.#groups.delete(group.id);
  }

  newMemberId(prefix: string): string {
    return `${prefix}-${this.#env.random.uuid()}`;
  }

  store(
    group: Group,
    assignments: ReadonlyMap<string, Uint8Array>,
    isWanted: () => boolean,
    done: (error: ErrorCode) => void,
  ): void {
    const check = (): ErrorCode => (isWanted() ? Errors.NONE : Errors.REBALANCE_IN_PROGRESS);
    this.#write([groupRecord(group, assignments)], check).then(
      (error) => {
        done(groupWriteError(error));
      },
      (failure: unknown) => {
        this.#fail(failure);
      },
    );
  }

  /**
   * Stores offsets if the committer may (I17). They are seen by {@link GroupOffsets.get} when this resolves, not
   * before (I16). `unknownGroup` is what a member of a group nobody knows is told.
   */
  async commit(
    groupId: string,
    committer: CommitterIdentity,
    offsets: readonly OffsetToCommit[],
    unknownGroup: ErrorCode,
  ): Promise<ErrorCode> {
    let group: Group | undefined;
    const check = (): ErrorCode => {
      group = this.#groups.get(groupId);
      if (group !== undefined) return group.checkCommit(committer);
      if (committer.generationId >= 0) return unknownGroup;
      group = this.groupOrNew(groupId);
      return group === undefined ? Errors.INVALID_REQUEST : Errors.NONE;
    };
    // Refused at once what would be refused anyway: a fenced member must not wait for a full log.
    const known = this.#groups.get(groupId);
    const early = known?.checkCommit(committer) ?? (committer.generationId >= 0 ? unknownGroup : Errors.NONE);
    if (early !== Errors.NONE || offsets.length === 0) return early;

    const records = offsets.map((offset) => offsetRecord(groupId, offset, offset.committed));
    const error = await this.#write(records, check, {
      appended: () => {
        for (const offset of offsets) group?.offsets.begin(offset);
      },
      durable: (baseOffset) => {
        offsets.forEach((offset, at) => group?.offsets.settle(offset, baseOffset + at, offset.committed));
      },
    });
    if (error !== Errors.NONE && group !== undefined) this.forgetIfUnused(group);
    return error === Errors.MESSAGE_TOO_LARGE ? Errors.INVALID_COMMIT_OFFSET_SIZE : coordinatorError(error);
  }

  /**
   * Deletes offsets of a group. `check` is asked right before each batch of them is appended, for what was true when
   * the keys were chosen may not be true any more.
   */
  async deleteOffsets(
    group: Group,
    keys: readonly OffsetKey[],
    check: (keys: readonly OffsetKey[]) => ErrorCode,
  ): Promise<ErrorCode> {
    for (let at = 0; at < keys.length; at += TOMBSTONES_PER_BATCH) {
      const chunk = keys.slice(at, at + TOMBSTONES_PER_BATCH);
      const records = chunk.map((key) => offsetTombstone(group.id, key));
      const error = await this.#write(records, () => check(chunk), {
        appended: () => {
          for (const key of chunk) group.offsets.begin(key);
        },
        durable: (baseOffset) => {
          chunk.forEach((key, index) => group.offsets.settle(key, baseOffset + index, undefined));
        },
      });
      if (error !== Errors.NONE) return coordinatorError(error);
    }
    return Errors.NONE;
  }

  /** Deletes a group without members, with all its offsets. */
  async deleteGroup(groupId: string): Promise<ErrorCode> {
    const group = this.#groups.get(groupId);
    if (group === undefined || group.state === 'Dead') return Errors.GROUP_ID_NOT_FOUND;
    if (group.state !== 'Empty') return Errors.NON_EMPTY_GROUP;
    // Dead from here on: nobody joins and nobody commits while the records are on their way.
    group.unload(Errors.UNKNOWN_MEMBER_ID);
    const allowed = (): ErrorCode => Errors.NONE;
    const offsetsError = await this.deleteOffsets(group, group.offsets.keys(), allowed);
    if (offsetsError !== Errors.NONE) return this.#deletionFailed(groupId, offsetsError);
    const error = await this.#write([groupTombstone(groupId)], allowed);
    if (error !== Errors.NONE) return this.#deletionFailed(groupId, coordinatorError(error));
    if (this.#groups.get(groupId) === group) this.#groups.delete(groupId);
    return Errors.NONE;
  }

  /** One round of retention: expired offsets go, then groups that have nothing left. */
  async expire(): Promise<void> {
    for (const group of [...this.#groups.values()]) {
      const keys = this.#expired(group);
      if (keys.length > 0) await this.deleteOffsets(group, keys, (chunk) => this.#stillExpired(group, chunk));
      if (this.#unloaded) return;
      if (group.isVacant && group.offsets.isEmpty) await this.deleteGroup(group.id);
    }
  }

  /** The topics are gone: so are the offsets in them. */
  async forgetTopics(topics: ReadonlySet<string>): Promise<void> {
    for (const group of [...this.#groups.values()]) {
      const keys = group.offsets.keys(topics);
      if (keys.length > 0) await this.deleteOffsets(group, keys, () => Errors.NONE);
    }
  }

  #expired(group: Group): readonly OffsetKey[] {
    return expiredOffsets(group, this.clock.wallMs(), this.config.offsetsRetentionMs);
  }

  /** A commit that waited for admission before us may have been appended since, or a member may have joined. */
  #stillExpired(group: Group, chosen: readonly OffsetKey[]): ErrorCode {
    if (group.state === 'Dead') return Errors.COORDINATOR_NOT_AVAILABLE;
    const text = (key: OffsetKey): string => `${key.partition}:${key.topic}`;
    const expired = new Set(this.#expired(group).map(text));
    return chosen.every((key) => expired.has(text(key))) ? Errors.NONE : Errors.REBALANCE_IN_PROGRESS;
  }

  #groupOrNew(groupId: string): Group {
    let group = this.#groups.get(groupId);
    if (group === undefined) {
      group = new Group(groupId, this);
      this.#groups.set(groupId, group);
    }
    return group;
  }

  /**
   * The one way into the log: admission, then check, append and `appended` in one turn, with no await between them,
   * so that what was checked is what is written (I17). `durable` runs before anyone is answered.
   */
  async #write(
    records: readonly OffsetRecord[],
    check: () => ErrorCode,
    on?: { readonly appended: () => void; readonly durable: (baseOffset: number) => void },
  ): Promise<ErrorCode> {
    const batch = this.#log.encode(records);
    if (batch.length > this.config.maxBatchBytes) return Errors.MESSAGE_TOO_LARGE;
    try {
      const admission = this.#log.admit(batch.length);
      if (admission !== undefined) await admission;
    } catch (error) {
      if (error instanceof EntryTooLargeError) return Errors.MESSAGE_TOO_LARGE;
      // Nothing was written; memory is right. The log stopped, which its owner knows.
      if (error instanceof WalClosedError) return Errors.COORDINATOR_NOT_AVAILABLE;
      throw error;
    }
    const refusal = this.#unloaded ? Errors.NOT_COORDINATOR : check();
    if (refusal !== Errors.NONE) return refusal;
    const { error, baseOffset, durable } = this.#log.append(batch);
    if (error !== Errors.NONE) return error;
    on?.appended();
    try {
      await durable;
    } catch (failure) {
      this.#fail(failure);
      return Errors.NOT_COORDINATOR;
    }
    on?.durable(baseOffset);
    return Errors.NONE;
  }

  /** After a lost write memory and log may differ: everything is read again before it is served again. */
  #fail(error: unknown): void {
    if (this.#unloaded) return;
    this.unload();
    this.#onFailed(error);
  }

  /** A half-deleted group is read again, so that what is left of it can be deleted once more. */
  #deletionFailed(groupId: string, error: ErrorCode): ErrorCode {
    this.#fail(new Error(`deleting group ${JSON.stringify(groupId)} stopped half way with error ${error}`));
    return error;
  }
}

/** As Kafka translates errors of the log for clients of a coordinator. */
function coordinatorError(error: ErrorCode): ErrorCode {
  switch (error) {
    case Errors.UNKNOWN_TOPIC_OR_PARTITION:
    case Errors.NOT_ENOUGH_REPLICAS:
    case Errors.REQUEST_TIMED_OUT:
      return Errors.COORDINATOR_NOT_AVAILABLE;
    case Errors.NOT_LEADER_OR_FOLLOWER:
    case Errors.KAFKA_STORAGE_ERROR:
      return Errors.NOT_COORDINATOR;
    default:
      return error;
  }
}

/** Metadata too large to be written is nobody's to retry. */
function groupWriteError(error: ErrorCode): ErrorCode {
  return error === Errors.MESSAGE_TOO_LARGE ? Errors.UNKNOWN_SERVER_ERROR : coordinatorError(error);
}
