import { InvariantViolation } from '../base/errors.ts';
import type { Topic, ClusterMetadata, MetadataChange } from '../metadata/cluster-metadata.ts';
import type { Env } from '../ports/env.ts';
import type { Timer } from '../ports/clock.ts';
import { Errors, type ErrorCode } from '../wire/errors.ts';
import { CoordinatorPartition } from './coordinator-partition.ts';
import type { GroupConfig } from './group-config.ts';
import { partitionForGroup } from './java-hash.ts';
import type { OffsetsLog } from './offsets-log.ts';

export const GROUP_METADATA_TOPIC = '__consumer_offsets';

export interface CoordinatorOptions {
  readonly env: Env;
  readonly config: GroupConfig;
  readonly brokerId: number;
  readonly metadata: Pick<ClusterMetadata, 'topicByName' | 'createTopics' | 'onChange'>;
  /** The log of one partition of `__consumer_offsets`; undefined when this broker does not lead it. */
  readonly openLog: (topicId: string, partition: number) => Promise<OffsetsLog | undefined>;
  /**
   * Whether what is known here is still the newest: false when this node cannot prove any more that it leads (3.6). What
   * is written needs no such question, because it has to become durable; members are answered, because a group that is
   * elsewhere has them join again there.
   */
  readonly mayAnswerReaders: () => boolean;
}

/** A partition this broker leads, from the moment it is to be loaded. */
interface Slot {
  readonly topicId: string;
  readonly leaderEpoch: number;
  state: 'loading' | 'serving' | 'failed';
  partition: CoordinatorPartition | undefined;
  /** While failed: no new attempt before this moment, on the monotonic clock. */
  retryAtMs: number;
}

/**
 * Which partitions of `__consumer_offsets` this broker leads, and the groups in them. Partitions are loaded at the
 * start and whenever leadership comes, because sessions and retention run whether or not anyone asks.
 */
export class CoordinatorPartitions {
  readonly #options: CoordinatorOptions;
  readonly #slots = new Map<number, Slot>();
  #creating: Promise<ErrorCode> | undefined;
  #stopListening: (() => void) | undefined;
  #retentionTimer: Timer | undefined;
  #retention: Promise<void> | undefined;
  #closed = false;

  constructor(options: CoordinatorOptions) {
    this.#options = options;
  }

  /** Begins to load what this broker leads, and to follow changes. Returns at once. */
  start(): void {
    this.#stopListening = this.#options.metadata.onChange((change) => {
      this.#metadataChanged(change);
    });
    this.#reconcile();
    this.#scheduleRetention();
  }

  /** Who waits is answered NOT_COORDINATOR; nothing is written any more. */
  close(): void {
    this.#closed = true;
    this.#stopListening?.();
    this.#retentionTimer?.cancel();
    for (const index of [...this.#slots.keys()]) this.#drop(index);
  }

  /**
   * The broker that coordinates a group. The first question of all creates `__consumer_offsets`.
   * @returns its node id, or why there is none
   */
  async coordinatorOf(groupId: string): Promise<{ readonly error: ErrorCode; readonly nodeId: number }> {
    if (!this.#isValidId(groupId)) return { error: Errors.INVALID_GROUP_ID, nodeId: -1 };
    const error = await this.#ensureTopic();
    const topic = this.#topic();
    if (error !== Errors.NONE || topic === undefined) {
      return { error: Errors.COORDINATOR_NOT_AVAILABLE, nodeId: -1 };
    }
    const partition = topic.partitions[partitionForGroup(groupId, topic.partitions.length)];
    if (partition === undefined || partition.leaderId < 0) {
      return { error: Errors.COORDINATOR_NOT_AVAILABLE, nodeId: -1 };
    }
    return { error: Errors.NONE, nodeId: partition.leaderId };
  }

  /**
   * The partition that keeps a group, when it is here and loaded: INVALID_GROUP_ID, NOT_COORDINATOR,
   * COORDINATOR_LOAD_IN_PROGRESS or COORDINATOR_NOT_AVAILABLE otherwise. The empty id is a group like any other for
   * offsets and administration, as old clients know it, but nobody can join it.
   */
  partitionOf(groupId: string, emptyIdAllowed = false): CoordinatorPartition | ErrorCode {
    if (!this.#isValidId(groupId) || (groupId === '' && !emptyIdAllowed)) return Errors.INVALID_GROUP_ID;
    const topic = this.#topic();
    if (topic === undefined) return Errors.NOT_COORDINATOR;
    const index = partitionForGroup(groupId, topic.partitions.length);
    const slot = this.#slots.get(index);
    if (slot === undefined) return Errors.NOT_COORDINATOR;
    if (slot.partition !== undefined && slot.state === 'serving') return slot.partition;
    if (slot.state === 'failed' && this.#nowMs() >= slot.retryAtMs) this.#load(index, slot);
    return slot.state === 'failed' ? Errors.COORDINATOR_NOT_AVAILABLE : Errors.COORDINATOR_LOAD_IN_PROGRESS;
  }

  /** The loaded partitions. */
  *partitions(): Generator<CoordinatorPartition> {
    for (const slot of this.#slots.values()) {
      if (slot.state === 'serving' && slot.partition !== undefined) yield slot.partition;
    }
  }

  /** Some groups cannot be listed yet. */
  get isLoading(): boolean {
    for (const slot of this.#slots.values()) if (slot.state !== 'serving') return true;
    return false;
  }

  #topic(): Topic | undefined {
    return this.#closed ? undefined : this.#options.metadata.topicByName(GROUP_METADATA_TOPIC);
  }

  #nowMs(): number {
    return this.#options.env.clock.monotonicMs();
  }

  #isValidId(groupId: string): boolean {
    return groupId.length <= this.#options.config.maxIdLength;
  }

  /** Everyone who asks while the topic is being created waits for the same creation. */
  #ensureTopic(): Promise<ErrorCode> {
    if (this.#topic() !== undefined) return Promise.resolve(Errors.NONE);
    if (this.#closed) return Promise.resolve(Errors.COORDINATOR_NOT_AVAILABLE);
    this.#creating ??= this.#createTopic().finally(() => {
      this.#creating = undefined;
    });
    return this.#creating;
  }

  async #createTopic(): Promise<ErrorCode> {
    const { metadata, env } = this.#options;
    const [result] = await metadata.createTopics(
      [
        {
          name: GROUP_METADATA_TOPIC,
          partitionCount: this.#options.config.offsetsTopicPartitions,
          replicationFactor: -1,
          assignments: [],
          configs: [
            { name: 'cleanup.policy', value: 'compact' },
            { name: 'segment.bytes', value: String(this.#options.config.offsetsTopicSegmentBytes) },
          ],
          internal: true,
        },
      ],
      false,
    );
    const error = result?.error ?? Errors.UNKNOWN_SERVER_ERROR;
    if (error !== Errors.NONE && error !== Errors.TOPIC_ALREADY_EXISTS) {
      env.events.error('coordinator.topic-not-created', { error, message: result?.message });
      return error;
    }
    this.#reconcile();
    return Errors.NONE;
  }

  #metadataChanged(change: MetadataChange): void {
    this.#reconcile();
    const deleted = new Set(change.deleted.map((topic) => topic.name));
    if (deleted.size === 0) return;
    for (const partition of this.partitions()) {
      partition.forgetTopics(deleted).catch((error: unknown) => {
        this.#report('coordinator.cleanup-failed', partition.index, error);
      });
    }
  }

  /**
   * Loads what came, drops what went or is about to go: its log is being closed, and opened anew when the move is called
   * off. A new leader epoch means that someone else may have written in between.
   */
  #reconcile(): void {
    const topic = this.#topic();
    const { brokerId } = this.#options;
    const led = (topic?.partitions ?? []).filter(
      ({ leaderId, movingTo }) => leaderId === brokerId && movingTo === undefined,
    );
    const epochs = new Map(led.map(({ index, leaderEpoch }) => [index, leaderEpoch]));
    for (const [index, slot] of [...this.#slots]) {
      if (slot.topicId !== topic?.id || slot.leaderEpoch !== epochs.get(index)) this.#drop(index);
    }
    if (topic === undefined) return;
    for (const [index, leaderEpoch] of epochs) {
      if (this.#slots.has(index)) continue;
      const slot: Slot = {
        topicId: topic.id,
        leaderEpoch,
        state: 'loading',
        partition: undefined,
        retryAtMs: 0,
      };
      this.#slots.set(index, slot);
      this.#load(index, slot);
    }
  }

  #drop(index: number): void {
    const slot = this.#slots.get(index);
    this.#slots.delete(index);
    slot?.partition?.unload();
  }

  #load(index: number, slot: Slot): void {
    slot.state = 'loading';
    this.#loadNow(index, slot).catch((error: unknown) => {
      this.#loadFailed(index, slot, error);
    });
  }

  async #loadNow(index: number, slot: Slot): Promise<void> {
    const { env, openLog } = this.#options;
    const log = await openLog(slot.topicId, index);
    if (this.#slots.get(index) !== slot) return;
    if (log === undefined) {
      // Leadership went away in this moment; the change that says so is on its way.
      this.#loadFailed(index, slot, undefined);
      return;
    }
    const partition = new CoordinatorPartition(index, env, this.#options.config, log, (error) => {
      this.#loadFailed(index, slot, error);
    });
    slot.partition = partition;
    await partition.load();
    if (this.#slots.get(index) !== slot) return;
    slot.state = 'serving';
    env.events.debug('coordinator.loaded', { partition: index, groups: [...partition.groups()].length });
  }

  /** Loading failed, or a write was lost: nothing of this partition is served before it was read again. */
  #loadFailed(index: number, slot: Slot, error: unknown): void {
    slot.partition?.unload();
    slot.partition = undefined;
    slot.state = 'failed';
    slot.retryAtMs = this.#nowMs() + this.#options.config.loadRetryMs;
    if (error !== undefined) this.#report('coordinator.load-failed', index, error);
  }

  #report(name: string, partition: number, error: unknown): void {
    // A broken invariant is nobody's to handle (rule R10): left unhandled, it stops the process.
    if (error instanceof InvariantViolation) throw error;
    const message = error instanceof Error ? error.message : String(error);
    this.#options.env.events.error(name, { partition, message });
  }

  #scheduleRetention(): void {
    this.#retentionTimer = this.#options.env.clock.timer(this.#options.config.offsetsRetentionCheckMs, () => {
      this.#retention ??= this.#expire().finally(() => {
        this.#retention = undefined;
      });
      this.#scheduleRetention();
    });
  }

  async #expire(): Promise<void> {
    for (const partition of [...this.partitions()]) {
      try {
        await partition.expire();
      } catch (error) {
        this.#report('coordinator.retention-failed', partition.index, error);
      }
    }
  }
}
