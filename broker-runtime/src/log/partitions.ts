import { ClosedError } from '../base/errors.ts';
import type { Env } from '../ports/env.ts';
import type { Timer } from '../ports/clock.ts';
import type { StreamStore } from '../store/stream.ts';
import type { LogConfig } from '../wire/log-config.ts';
import { openPartition, type Partition } from './partition.ts';
import type { PartitionLog } from './partition-log.ts';

/** Partitions whose state is rebuilt at the same time: bounds the memory and the reads that opening many costs. */
const MAX_OPENING = 16;

/** Where a partition lives and how it is set up: what metadata knows about it. */
export interface PartitionAssignment {
  readonly topicId: string;
  readonly topic: string;
  readonly partition: number;
  readonly leaderEpoch: number;
  readonly dataStreamId: number;
  readonly stateStreamId: number;
  readonly config: LogConfig;
}

export interface PartitionSetOptions {
  readonly env: Env;
  readonly store: Pick<StreamStore, 'stream' | 'admit' | 'forget'>;
  /** The partition if this broker leads it. Asked at every first use. */
  readonly assignment: (topicId: string, partition: number) => PartitionAssignment | undefined;
  /** All partitions this broker leads: each has its turn in maintenance, used or not. */
  readonly assignments: () => Iterable<PartitionAssignment>;
  /** Asked before every round. */
  readonly pace: () => MaintenancePace;
}

/** Pauses between rounds of maintenance. */
export interface MaintenancePace {
  /** Every partition: retention, compaction, snapshots (`log.retention.check.interval.ms`). */
  readonly intervalMs: number;
  /** Open partitions of compacted topics in between (`log.cleaner.backoff.ms`). */
  readonly cleanerIntervalMs: number;
}

/** However eager the settings: rounds follow each other only so fast. */
const MIN_PAUSE_MS = 100;
/**
 * Uploads that the cleaner asks for follow each other only so fast: at most six a minute, each of one object as a rule
 * and one entry of the metadata log, whatever `segment.ms` and however many partitions.
 */
const MIN_FLUSH_PAUSE_MS = 10_000;

/**
 * The open partitions of this broker. Each is opened once, on first use, and stays open until it is closed, its topic
 * is deleted, or leadership moves.
 */
export class PartitionSet {
  readonly #options: PartitionSetOptions;
  readonly #open = new Map<string, Partition>();
  readonly #opening = new Map<string, Promise<Partition>>();
  /** Being let go of: settled when the cluster knows. */
  readonly #releasing = new Map<string, Promise<void>>();
  readonly #waiting: (() => void)[] = [];
  #openingNow = 0;
  #timer: Timer | undefined;
  #fullRoundAtMs = 0;
  #nextFlushAtMs = 0;
  #round: Promise<void> | undefined;
  #closed = false;

  constructor(options: PartitionSetOptions) {
    this.#options = options;
  }

  /**
   * Synchronous when the partition is open. Undefined: not led by this broker, or no longer because it stops.
   * Rejects as {@link openPartition} does; the next call tries again.
   */
  open(topicId: string, partition: number): PartitionLog | Promise<PartitionLog> | undefined {
    const key = keyOf(topicId, partition);
    const open = this.#open.get(key) ?? this.#opening.get(key);
    if (open !== undefined) return open;
    if (this.#closed) return undefined;
    const assignment = this.#options.assignment(topicId, partition);
    return assignment === undefined ? undefined : this.#startOpening(key, assignment);
  }

  /** The partitions that are open now. */
  opened(): Iterable<PartitionLog> {
    return this.#open.values();
  }

  /** Follows a change of a topic's settings. */
  reconfigure(topicId: string, config: LogConfig): void {
    for (const partition of this.#open.values())
      if (partition.topicId === topicId) partition.reconfigure(config);
  }

  /** Lets go of a deleted topic: reads that wait are answered, nothing more is written. */
  drop(topicId: string): void {
    for (const [key, partition] of this.#open) {
      if (partition.topicId !== topicId) continue;
      this.#open.delete(key);
      partition.abandon();
    }
  }

  /**
   * Closes a partition that is to move to another broker: answers NOT_LEADER from now on, waits until everything of it
   * is in committed objects, and then runs `tell`, which makes the move true. The assignment must name it no more. When
   * the move is called off meanwhile, the partition opens again only after all of this: never beside the one that
   * closes, and never with records that the new leader would not find.
   */
  async release(
    topicId: string,
    index: number,
    streamIds: readonly number[],
    tell: () => Promise<void>,
  ): Promise<void> {
    const key = keyOf(topicId, index);
    // One that is being opened finds out at its end that it is not wanted any more.
    await this.#opening.get(key)?.catch(() => undefined);
    const releasing = this.#releaseOne(key, streamIds, tell);
    const settled = releasing.catch(() => undefined);
    this.#releasing.set(key, settled);
    try {
      await releasing;
    } finally {
      if (this.#releasing.get(key) === settled) this.#releasing.delete(key);
    }
  }

  async #releaseOne(key: string, streamIds: readonly number[], tell: () => Promise<void>): Promise<void> {
    const partition = this.#open.get(key);
    this.#open.delete(key);
    await partition?.close();
    for (const streamId of streamIds) this.#options.store.forget(streamId);
    await tell();
  }

  /** Begins the rounds of maintenance; the first comes after a random part of the interval, so brokers do not march in step. */
  startMaintenance(): void {
    if (this.#closed) return;
    const { env, pace } = this.#options;
    this.#fullRoundAtMs = env.clock.monotonicMs() + env.random.below(Math.max(1, pace().intervalMs));
    this.#schedule();
  }

  /** Closes every partition: snapshots are written, so that the next open replays nothing. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.cancel();
    await Promise.allSettled(this.#opening.values());
    const results = await Promise.allSettled([...this.#open.values()].map((partition) => partition.close()));
    await this.#round;
    this.#open.clear();
    for (const result of results) {
      if (result.status === 'fulfilled') continue;
      this.#options.env.events.warn('log.close-failed', { reason: String(result.reason) });
    }
  }

  #startOpening(key: string, assignment: PartitionAssignment): Promise<Partition> {
    const opening = this.#openOne(key, assignment).finally(() => this.#opening.delete(key));
    this.#opening.set(key, opening);
    return opening;
  }

  async #openOne(key: string, assignment: PartitionAssignment): Promise<Partition> {
    const { env, store } = this.#options;
    const { topicId, partition: index } = assignment;
    const begunMs = env.clock.monotonicMs();
    await this.#releasing.get(key);
    await this.#takeTurn();
    try {
      const partition = await openPartition({
        ...assignment,
        data: store.stream(assignment.dataStreamId),
        states: store.stream(assignment.stateStreamId),
        env,
        admit: (payloadBytes, entryCount) => store.admit(payloadBytes, entryCount),
      });
      // While the state was read the topic may have been deleted or moved, or its settings changed.
      const current = this.#options.assignment(topicId, index);
      if (current === undefined) {
        partition.abandon();
        throw new ClosedError(`partition ${index} of topic ${topicId} is no longer led by this broker`);
      }
      partition.reconfigure(current.config);
      this.#open.set(key, partition);
      // Of a first leader it is no news; of a later one it ends the time in which nobody served the partition.
      if (assignment.leaderEpoch > 0) {
        const { topic, leaderEpoch } = assignment;
        const openMs = Math.round(env.clock.monotonicMs() - begunMs);
        env.events.info('partition.opened', { topic, partition: index, leaderEpoch, openMs });
      }
      return partition;
    } finally {
      this.#passTurn();
    }
  }

  #takeTurn(): Promise<void> | undefined {
    if (this.#openingNow < MAX_OPENING) {
      this.#openingNow++;
      return undefined;
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #passTurn(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#openingNow--;
    else next();
  }

  #schedule(): void {
    const { clock } = this.#options.env;
    const untilFullMs = this.#fullRoundAtMs - clock.monotonicMs();
    const delayMs = Math.max(MIN_PAUSE_MS, Math.min(untilFullMs, this.#options.pace().cleanerIntervalMs));
    this.#timer = clock.timer(delayMs, () => {
      this.#round = this.#runRound().finally(() => {
        if (!this.#closed) this.#schedule();
      });
    });
  }

  async #runRound(): Promise<void> {
    const { env, pace, assignments } = this.#options;
    await this.#flushTail();
    if (env.clock.monotonicMs() < this.#fullRoundAtMs) {
      for (const partition of [...this.#open.values()]) {
        if (partition.isCompacted) await this.#maintain(partition);
      }
      return;
    }
    for (const { topicId, partition } of assignments()) await this.#maintain({ topicId, partition });
    this.#fullRoundAtMs = env.clock.monotonicMs() + pace().intervalMs;
  }

  /**
   * Uploads what is only in the WAL when a compacted partition cannot wait for the upload by age. One flush is enough
   * for all: what the others have lies in the same WAL groups and goes into the same objects.
   */
  async #flushTail(): Promise<void> {
    const { clock, events } = this.#options.env;
    if (clock.monotonicMs() < this.#nextFlushAtMs) return;
    // All are asked: what is asked now knows the age of its next tail better.
    const [first] = [...this.#open.values()].filter((partition) => partition.isTailDue);
    if (first === undefined) return;
    this.#nextFlushAtMs = clock.monotonicMs() + MIN_FLUSH_PAUSE_MS;
    try {
      await first.flush();
    } catch (error) {
      if (!(error instanceof ClosedError)) events.warn('log.flush-failed', { reason: String(error) });
    }
  }

  /** One partition after the other: maintenance reads and writes much and is never urgent. */
  async #maintain({ topicId, partition }: { topicId: string; partition: number }): Promise<void> {
    if (this.#closed) return;
    try {
      const log = await this.open(topicId, partition);
      await log?.maintain();
    } catch (error) {
      if (error instanceof ClosedError) return;
      const reason = String(error);
      this.#options.env.events.warn('log.maintenance-failed', { topicId, partition, reason });
    }
  }
}

function keyOf(topicId: string, partition: number): string {
  return `${topicId}/${partition}`;
}
