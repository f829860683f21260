import type { Env } from '../ports/env.ts';
import type { Stream } from '../store/stream.ts';
import type { RebuiltPartition } from './partition-open.ts';
import { encodeSnapshot, type PartitionState } from './partition-state.ts';

/** Bytes appended after the last snapshot that make a new one due: about a second of replay from an object store. */
const SNAPSHOT_EVERY_BYTES = 64 * 1024 * 1024;
/** Age at which a snapshot is renewed while there is anything new. */
const SNAPSHOT_EVERY_MS = 10 * 60_000;

/** Admission to the WAL; see `StreamStore.admit`. */
export type Admit = (payloadBytes: number, entryCount: number) => Promise<void> | undefined;

export interface SnapshotTarget {
  /** The stream of record batches, and the small one for snapshots of what is known about them. */
  readonly data: Stream;
  readonly states: Stream;
  readonly env: Env;
  readonly admit: Admit;
}

/**
 * Writes a partition's state into its state stream, so that the next open replays little. Two snapshots are kept:
 * the older one serves when the newer is damaged.
 */
export class SnapshotWriter {
  readonly #states: Stream;
  readonly #data: Stream;
  readonly #state: PartitionState;
  readonly #env: Env;
  readonly #admit: Admit;
  #pendingBytes: number;
  #writtenAtMs: number;
  #coveredOffset: number;
  #stopped = false;
  #running: Promise<void> | undefined;

  constructor({ data, states, env, admit }: SnapshotTarget, rebuilt: RebuiltPartition) {
    this.#data = data;
    this.#states = states;
    this.#env = env;
    this.#admit = admit;
    this.#state = rebuilt.state;
    this.#pendingBytes = rebuilt.replayedBytes;
    this.#coveredOffset = rebuilt.coveredOffset;
    this.#writtenAtMs = env.clock.monotonicMs();
  }

  /** Counts what the next open would replay, and starts a snapshot when that is much. */
  noteAppended(sizeBytes: number): void {
    this.#pendingBytes += sizeBytes;
    if (this.#pendingBytes < SNAPSHOT_EVERY_BYTES || this.#running !== undefined) return;
    this.#env.clock.afterTurn(() => {
      if (this.#stopped) return;
      this.write().catch((error: unknown) => {
        // Nothing is lost: the next round of maintenance, or the close, tries again.
        this.#env.events.warn('log.snapshot-failed', { stream: this.#states.id, reason: String(error) });
      });
    });
  }

  get isDue(): boolean {
    return (
      this.#pendingBytes >= SNAPSHOT_EVERY_BYTES ||
      (this.#pendingBytes > 0 && this.#env.clock.monotonicMs() - this.#writtenAtMs >= SNAPSHOT_EVERY_MS)
    );
  }

  /** No more snapshots of its own accord. */
  stop(): void {
    this.#stopped = true;
  }

  /**
   * Makes sure that a durable snapshot tells of all batches below `offset`. Asked for before they are deleted: a
   * producer whose newest batch stands neither in the log nor in a snapshot would be refused.
   */
  async cover(offset: number): Promise<void> {
    while (this.#coveredOffset < offset) await this.write();
  }

  /** Writes the state as it is at the call (or joins the writing under way); durable when it resolves. */
  write(): Promise<void> {
    this.#running ??= this.#write().finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #write(): Promise<void> {
    const { endOffset } = this.#data;
    const bytes = encodeSnapshot(this.#state, endOffset);
    const pendingBytes = this.#pendingBytes;
    await this.#admit(bytes.length, 1);
    // What the snapshot tells lies before it in the same WAL, so it is durable whenever the snapshot is.
    const previousOffset = Math.max(this.#states.endOffset - 1, this.#states.startOffset);
    await this.#states.append(this.#states.endOffset, 1, this.#env.clock.wallMs(), bytes).durable;
    this.#pendingBytes -= pendingBytes;
    this.#coveredOffset = endOffset;
    this.#writtenAtMs = this.#env.clock.monotonicMs();
    if (previousOffset > this.#states.startOffset) await this.#states.trim(previousOffset);
  }
}
