import { invariant } from '../base/errors.ts';
import type { Env } from '../ports/env.ts';
import type { Stream } from '../store/stream.ts';
import { type ErrorCode, Errors } from '../wire/errors.ts';
import type { LogConfig } from '../wire/log-config.ts';
import { isTailDue } from './active-tail.ts';
import { compactLog } from './compaction.ts';
import { LogAppender, refused } from './log-appender.ts';
import { LogReader } from './log-reader.ts';
import type {
  AppendOptions,
  AppendResult,
  Isolation,
  LogRead,
  PartitionLog,
  ReadOptions,
  TimestampOffset,
} from './partition-log.ts';
import { rebuildPartition, type RebuiltPartition } from './partition-open.ts';
import type { PartitionState } from './partition-state.ts';
import type { RecentBatches } from './recent-batches.ts';
import { retentionOffset } from './retention.ts';
import { type SnapshotTarget, SnapshotWriter } from './snapshot-writer.ts';
import { findMaxTimestamp, findTimestamp } from './time-index.ts';
import { Traffic } from './traffic.ts';

const nothing = (): void => undefined;

/** What a partition is made of. */
export interface PartitionSource extends SnapshotTarget {
  readonly topicId: string;
  readonly topic: string;
  readonly partition: number;
  readonly leaderEpoch: number;
  readonly config: LogConfig;
}

/**
 * Opens a partition: its state is complete before this resolves (I14).
 * @throws {StreamReadError} when the object store cannot be read now; may be retried
 * @throws {CorruptionError} when stored batches are damaged
 */
export async function openPartition(source: PartitionSource): Promise<Partition> {
  return new Partition(source, await rebuildPartition(source.data, source.states, source.env));
}

/** See {@link PartitionLog}. */
export class Partition implements PartitionLog {
  readonly topicId: string;
  readonly topic: string;
  readonly partition: number;
  readonly leaderEpoch: number;
  readonly traffic = new Traffic();
  readonly #env: Env;
  readonly #data: Stream;
  readonly #states: Stream;
  readonly #state: PartitionState;
  readonly #recent: RecentBatches;
  readonly #snapshots: SnapshotWriter;
  readonly #reader: LogReader;
  readonly #appender: LogAppender;
  readonly #listeners = new Set<() => void>();
  readonly #stopListening: () => void;
  readonly #closing = new AbortController();
  #config: LogConfig;
  #highWatermark: number;
  #maintenance: Promise<void> | undefined;
  /** Undefined: open, or abandoned. */
  #closed: Promise<void> | undefined;

  constructor(source: PartitionSource, rebuilt: RebuiltPartition) {
    const { data, states, env } = source;
    this.topicId = source.topicId;
    this.topic = source.topic;
    this.partition = source.partition;
    this.leaderEpoch = source.leaderEpoch;
    this.#env = env;
    this.#data = data;
    this.#states = states;
    this.#config = source.config;
    this.#state = rebuilt.state;
    this.#recent = rebuilt.recent;
    this.#snapshots = new SnapshotWriter(source, rebuilt);
    this.#reader = new LogReader(this, data, env.events, this.traffic);
    this.#appender = new LogAppender({
      env,
      data,
      leaderEpoch: source.leaderEpoch,
      rebuilt,
      snapshots: this.#snapshots,
      traffic: this.traffic,
    });
    this.#highWatermark = data.durableOffset;
    this.#state.epochs.assign(source.leaderEpoch, data.endOffset);
    this.#stopListening = data.onDurable((durableOffset) => this.#advance(durableOffset));
  }

  get logStartOffset(): number {
    return this.#data.startOffset;
  }

  get highWatermark(): number {
    return this.#highWatermark;
  }

  /** The seam for transactions: min(high watermark, first offset of the oldest open transaction). */
  get lastStableOffset(): number {
    return this.#highWatermark;
  }

  get logEndOffset(): number {
    return this.#data.endOffset;
  }

  get sizeBytes(): number {
    const ranges = this.#data.ranges();
    const bytesInObjects = ranges.reduce((sum, range) => sum + range.sizeBytes, 0);
    return bytesInObjects + this.#recent.bytesAbove(this.#committedOffset);
  }

  append(batch: Uint8Array, options: AppendOptions): AppendResult {
    if (this.#closing.signal.aborted) return refused(Errors.NOT_LEADER_OR_FOLLOWER);
    return this.#appender.append(batch, options.origin, this.#config);
  }

  refuse(batch: Uint8Array, error: ErrorCode): AppendResult {
    return this.#appender.refuse(batch, error);
  }

  read(fromOffset: number, maxBytes: number, options: ReadOptions): LogRead | Promise<LogRead> {
    if (this.#closing.signal.aborted) return this.#reader.answer(Errors.NOT_LEADER_OR_FOLLOWER);
    return this.#reader.read(
      fromOffset,
      maxBytes,
      this.#visibleOffset(options.isolation),
      options.minOneBatch,
    );
  }

  availableBytes(fromOffset: number, limit: number, isolation: Isolation): number {
    if (fromOffset < this.logStartOffset) return 0;
    // Older than what is remembered: more than a hundred batches lie above it, which is enough to answer at once.
    return Math.min(limit, this.#recent.bytesBetween(fromOffset, this.#visibleOffset(isolation)) ?? limit);
  }

  onAdvance(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async offsetForTimestamp(timestampMs: number): Promise<TimestampOffset | undefined> {
    return findTimestamp(this.#data, timestampMs, this.#highWatermark);
  }

  async maxTimestamp(): Promise<TimestampOffset | undefined> {
    return findMaxTimestamp(this.#data, this.#highWatermark);
  }

  endOffsetForEpoch(leaderEpoch: number): { readonly leaderEpoch: number; readonly endOffset: number } {
    return this.#state.epochs.endOffset(leaderEpoch, this.#highWatermark);
  }

  epochAt(offset: number): number {
    return this.#state.epochs.at(offset);
  }

  async deleteRecordsBefore(
    offset: number,
  ): Promise<{ readonly error: ErrorCode; readonly logStartOffset: number }> {
    const { cleanupPolicy } = this.#config;
    if (this.#closing.signal.aborted) return { error: Errors.NOT_LEADER_OR_FOLLOWER, logStartOffset: -1 };
    if (cleanupPolicy.compact && !cleanupPolicy.delete) {
      return { error: Errors.POLICY_VIOLATION, logStartOffset: -1 };
    }
    const target = offset === -1 ? this.#highWatermark : offset;
    if (target < 0 || target > this.#highWatermark) {
      return { error: Errors.OFFSET_OUT_OF_RANGE, logStartOffset: -1 };
    }
    await this.#trim(target);
    return { error: Errors.NONE, logStartOffset: this.logStartOffset };
  }

  get isCompacted(): boolean {
    return this.#config.cleanupPolicy.compact;
  }

  /** What is only in the WAL has waited long enough for the cleaner; see {@link isTailDue}. */
  get isTailDue(): boolean {
    const nowMs = this.#env.clock.wallMs();
    return isTailDue(this.#config, this.#recent.tailSinceMs(this.#committedOffset), nowMs);
  }

  /** Brings everything appended until now into objects. */
  flush(): Promise<void> {
    return this.#data.flush();
  }

  reconfigure(config: LogConfig): void {
    this.#config = config;
  }

  maintain(): Promise<void> {
    this.#maintenance ??= this.#maintain().finally(() => (this.#maintenance = undefined));
    return this.#maintenance;
  }

  /** Whoever asks second waits as well: it relies on what the first one writes. */
  close(): Promise<void> {
    if (this.#closing.signal.aborted) return this.#closed ?? Promise.resolve();
    this.#closed = this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.abandon();
    await this.#maintenance?.catch(nothing);
    await this.#snapshots.cover(this.#data.endOffset);
    await Promise.all([this.#data.flush(), this.#states.flush()]);
  }

  /** Stops at once and writes nothing more: the topic was deleted, or another broker leads. */
  abandon(): void {
    this.#closing.abort();
    this.#snapshots.stop();
    this.#stopListening();
    this.#notify();
  }

  get #committedOffset(): number {
    return this.#data.ranges().at(-1)?.endOffset ?? this.#data.startOffset;
  }

  async #maintain(): Promise<void> {
    const { signal } = this.#closing;
    if (signal.aborted) return;
    const nowMs = this.#env.clock.wallMs();
    this.#state.producers.expire(nowMs, this.#config.producerIdExpirationMs);
    if (this.#config.cleanupPolicy.delete) {
      const offset = retentionOffset(this.#data.ranges(), this.#config, nowMs);
      if (offset > this.logStartOffset) await this.#trim(offset);
    }
    if (this.#config.cleanupPolicy.compact) {
      const compacted = await compactLog({
        data: this.#data,
        state: this.#state,
        config: this.#config,
        untilOffset: this.lastStableOffset,
        env: this.#env,
        signal,
      });
      if (compacted) await this.#snapshots.write();
    }
    if (this.#snapshots.isDue) await this.#snapshots.write();
  }

  async #trim(offset: number): Promise<void> {
    invariant(offset <= this.#highWatermark, 'I1', 'only what was durable is deleted', {
      offset,
      highWatermark: this.#highWatermark,
    });
    await this.#snapshots.cover(offset);
    await this.#data.trim(offset);
    this.#state.epochs.trim(this.logStartOffset);
    this.#notify();
  }

  #advance(durableOffset: number): void {
    invariant(durableOffset >= this.#highWatermark, 'I8', 'the high watermark never goes back', {
      durableOffset,
      highWatermark: this.#highWatermark,
    });
    this.#highWatermark = durableOffset;
    this.#appender.becameDurable(durableOffset);
    this.#notify();
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }

  #visibleOffset(isolation: Isolation): number {
    return isolation === 'read_committed' ? this.lastStableOffset : this.#highWatermark;
  }
}
