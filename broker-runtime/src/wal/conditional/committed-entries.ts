import { invariant } from '../../base/errors.ts';
import type { Clock } from '../../ports/clock.ts';
import { SequenceWaiters } from './sequence-waiters.ts';

/** What followers that are a little behind read from here and not from the bucket: two minutes of full group commit. */
const MAX_RECENT_ENTRIES = 4_096;
const MAX_RECENT_BYTES = 16 * 1024 * 1024;
/** Followers that may wait at once. Each is one broker's long poll, and a cluster has far fewer brokers. */
const MAX_WAITING_FOLLOWERS = 1_000;

/** `too-far-behind`: the entries are only in the bucket; read them there. */
export type RecentEntries = { readonly entries: readonly Uint8Array[] } | 'too-far-behind';

export interface CommittedEntriesLimits {
  readonly entries: number;
  readonly bytes: number;
  readonly waiters: number;
}

const LIMITS: CommittedEntriesLimits = {
  entries: MAX_RECENT_ENTRIES,
  bytes: MAX_RECENT_BYTES,
  waiters: MAX_WAITING_FOLLOWERS,
};

/**
 * The newest committed entries as stored, for followers: a ring with two limits, and those who wait for the next.
 * Only what is certainly in the log gets in here, so a follower is never ahead of it.
 */
export class CommittedEntries {
  readonly #clock: Clock;
  readonly #limits: CommittedEntriesLimits;
  readonly #waiters: SequenceWaiters;
  readonly #listeners = new Set<(sequence: number) => void>();
  readonly #entries: Uint8Array[] = [];
  #bytes = 0;
  /** Of the newest entry in the log, whether it is in the ring or not. */
  #sequence = 0;
  #closedBy: Error | undefined;

  constructor(clock: Clock, limits: CommittedEntriesLimits = LIMITS) {
    this.#clock = clock;
    this.#limits = limits;
    this.#waiters = new SequenceWaiters(limits.waiters);
  }

  /** The log was read anew and stands at `sequence`; what came before is only in the bucket. */
  restart(sequence: number): void {
    this.#entries.length = 0;
    this.#bytes = 0;
    this.#sequence = sequence;
  }

  add(sequence: number, bytes: Uint8Array): void {
    invariant(sequence === this.#sequence + 1, 'I18', 'committed entries are dense', {
      sequence,
      newest: this.#sequence,
    });
    this.#sequence = sequence;
    // A copy: what an encoder hands out may be a small part of the memory it would keep alive.
    this.#entries.push(bytes.slice());
    this.#bytes += bytes.length;
    while (this.#entries.length > this.#limits.entries || this.#bytes > this.#limits.bytes) {
      this.#bytes -= this.#entries.shift()?.length ?? 0;
    }
    for (const listener of this.#listeners) listener(sequence);
    this.#waiters.reached(sequence);
  }

  /**
   * What follows `sequence`, up to `maxBytes` together but at least one entry when there is one, so that whoever
   * asks gets on. Empty when there is nothing, also when the asker is further on than this log: then it follows
   * another writer, and this one will learn that with its next append.
   */
  after(sequence: number, maxBytes: number): RecentEntries {
    const first = this.#sequence - this.#entries.length + 1;
    if (sequence + 1 < first) return 'too-far-behind';
    const entries: Uint8Array[] = [];
    let bytes = 0;
    for (let at = sequence + 1 - first; at < this.#entries.length; at++) {
      const entry = this.#entries[at];
      if (entry === undefined || (entries.length > 0 && bytes + entry.length > maxBytes)) break;
      entries.push(entry);
      bytes += entry.length;
    }
    return { entries };
  }

  onCommitted(listener: (sequence: number) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** True when there is an entry behind `sequence`, false when none came in `maxWaitMs`. */
  async waitFor(sequence: number, maxWaitMs: number, signal?: AbortSignal): Promise<boolean> {
    if (this.#closedBy !== undefined) throw this.#closedBy;
    if (this.#sequence > sequence) return true;
    const late = new AbortController();
    const timer = this.#clock.timer(maxWaitMs, () => late.abort());
    try {
      const signals = signal === undefined ? [late.signal] : [late.signal, signal];
      await this.#waiters.wait(sequence + 1, AbortSignal.any(signals));
      return true;
    } catch (error) {
      // Both may have happened; whoever gave up wants to hear that.
      if (late.signal.aborted && signal?.aborted !== true) return false;
      throw error;
    } finally {
      timer.cancel();
    }
  }

  /** Nobody waits in vain. What is in the ring stays readable. */
  close(error: Error): void {
    this.#closedBy ??= error;
    this.#waiters.rejectAll(error);
  }
}
