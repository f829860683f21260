import { CorruptionError, invariant, MillraceError } from '../../base/errors.ts';
import type { Env } from '../../ports/env.ts';
import type { ListPage, ObjectInfo } from '../../ports/object-store.ts';
import type { JournalRecord } from '../journal.ts';
import { beginningOf, checkBatch, follow, readStored } from './chain.ts';
import type { LogPosition, StoredEntry } from './chain.ts';
import { hexSha256 } from './entry.ts';
import { readFloor } from './floor.ts';
import type { Floor } from './floor.ts';
import type { FloorProof } from './floor-proof.ts';
import { LOG_PREFIX, logKey, sequenceOf, snapshotKey } from './keys.ts';
import { readAhead, type Slot } from './read-ahead.ts';
import type { RetryingStore } from './retrying-store.ts';
import { decodeSnapshot } from './snapshot.ts';

export type { LogPosition } from './chain.ts';

/** Reads of bytes that do not pass their checksum, before they count as damaged (protocol 3.7). */
const READ_ATTEMPTS = 3;
/** The floor may move while a reader opens; it starts over then. More often than this, something is wrong (P9). */
const MAX_RESTARTS = 8;

/** Who receives what the log holds. */
export interface LogTarget {
  /** Replaces the whole state. May come more than once, when the floor moves under a slow reader. */
  restore(state: Uint8Array, sequence: number): void;
  /** The reader stands at what was restored. */
  restored(sequence: number): void;
  /** Back to the state before entry 1. */
  clear(): void;
  apply(record: JournalRecord, sequence: number): void;
  /** All records of this entry were applied; `bytes` are the entry as stored and never change. */
  applied(sequence: number, bytes: Uint8Array): void;
}

/**
 * Where reading ends. A follower wants what there was when it asked: one whole list shows that, and behind a busy writer there
 * is always more. Who is about to write wants the first free slot, as nearly as it can be seen.
 */
export type ReadTo = 'listed' | 'free-slot';

/** Reads the log: from the snapshot at the floor, entry after entry, to its end. */
export class LogReader {
  readonly #env: Env;
  readonly #store: RetryingStore;
  readonly #clusterId: string;
  readonly #proof: FloorProof;
  /** What was applied last, or appended: the writer moves it on. */
  position: LogPosition;

  constructor(env: Env, store: RetryingStore, clusterId: string, proof: FloorProof) {
    this.#env = env;
    this.#store = store;
    this.#clusterId = clusterId;
    this.#proof = proof;
    this.position = beginningOf(clusterId);
  }

  /** Brings `target` to the state at the end of the log, from nothing. See {@link catchUp}. */
  async load(target: LogTarget, to: ReadTo): Promise<void> {
    target.clear();
    this.position = beginningOf(this.#clusterId);
    await this.catchUp(target, to);
  }

  /**
   * Brings `target` from {@link position} to the end of the log: the snapshot first when the floor has passed us,
   * then every entry as far as `to` says, each checked for damage, place and hash chain (I18). Entries may be
   * accepted another way meanwhile; the position never goes back.
   * @throws {CorruptionError} also when a snapshot that the floor names is missing: the log below it is gone, so
   * starting from entry 1 would quietly lose everything
   */
  async catchUp(target: LogTarget, to: ReadTo): Promise<void> {
    for (let restarts = 0; restarts < MAX_RESTARTS; restarts++) {
      this.#proof.renew(this.#proof.now());
      const floor = await this.floor();
      if (floor.sequence > this.position.sequence && !(await this.#restore(floor, target))) continue;
      if (await this.#replayTail(floor, target, to)) return;
    }
    throw new CorruptionError(
      `the floor moved ${MAX_RESTARTS} times while the log was read: a writer takes snapshots faster than this ` +
        `process can read them; raise the snapshot interval`,
    );
  }

  /** @throws {CorruptionError} when it is gone, or another cluster's */
  async floor(): Promise<Floor> {
    const stored = await readFloor(this.#env, this.#store);
    if (stored === undefined)
      throw new CorruptionError('meta/floor is missing; restore it from a bucket version');
    if (stored.floor.clusterId !== this.#clusterId) {
      throw new CorruptionError(
        `the bucket now belongs to cluster ${stored.floor.clusterId}, this process opened ${this.#clusterId}`,
      );
    }
    return stored.floor;
  }

  /** Entries that came another way than from the bucket; see {@link checkBatch}. @throws {CorruptionError} */
  check(batch: readonly Uint8Array[]): readonly StoredEntry[] {
    return checkBatch(this.position, batch);
  }

  /** Applies the entry that follows {@link position}. @throws {CorruptionError} when it is another; nothing changed then */
  accept(next: StoredEntry, target: LogTarget): void {
    const position = follow(this.position, next);
    for (const record of next.entry.records) target.apply(record, position.sequence);
    this.position = position;
    target.applied(position.sequence, next.bytes);
  }

  /** False when the snapshot is gone because the floor moved on: start over. */
  async #restore(floor: Floor, target: LogTarget): Promise<boolean> {
    const key = floor.snapshot ?? '';
    const snapshot = await this.verified(key, (body) => {
      if (snapshotKey(floor.sequence, hexSha256(body)) !== key) {
        throw new CorruptionError(`${key} holds other bytes than its name says`);
      }
      return decodeSnapshot(body, key);
    });
    if (snapshot === undefined) {
      if ((await this.floor()).uuid !== floor.uuid) return false;
      throw new CorruptionError(
        `${key} is named by meta/floor and missing; restore it from a bucket version. The log below it was ` +
          `deleted, so this cluster cannot be opened without it`,
      );
    }
    invariant(snapshot.sequence === floor.sequence, 'I20', 'a snapshot stands where the floor says', { key });
    // Entries that came another way may have passed it while it was read.
    if (snapshot.sequence <= this.position.sequence) return true;
    target.restore(snapshot.state, snapshot.sequence);
    const { sequence, writerEpoch, lastHash } = snapshot;
    this.position = { sequence, writerEpoch, lastHash: lastHash.slice() };
    target.restored(sequence);
    return true;
  }

  /** Applies entries as far as `to` says. False when the entries are gone because the floor moved on. */
  async #replayTail(floor: Floor, target: LogTarget, to: ReadTo): Promise<boolean> {
    let from = this.position.sequence;
    let listing = this.#listBehind(from);
    try {
      for (;;) {
        const page = await listing;
        const listedTo = page.objects.at(-1)?.key ?? page.next;
        if (listedTo === undefined) return true;
        const slots = slotsBehind(from, page.objects);
        from = slots.at(-1)?.sequence ?? from;
        const isWhole = page.next === undefined && slots.length === page.objects.length;
        const isLast = isWhole && to === 'listed';
        // Beside the reads and not behind them: a writer that goes on has half as long to write what is not seen.
        if (!isLast) listing = this.#listBehind(from);
        if (!(await this.#replay(slots, listedTo, floor, target))) return false;
        if (isLast) return true;
      }
    } finally {
      await Promise.allSettled([listing]);
    }
  }

  #listBehind(sequence: number): Promise<ListPage> {
    const page = this.#store.list(LOG_PREFIX, { after: logKey(sequence) });
    page.catch(() => undefined);
    return page;
  }

  async #replay(slots: readonly Slot[], listedTo: string, floor: Floor, target: LogTarget): Promise<boolean> {
    for await (const { sequence, found } of readAhead(slots, (slot) => this.readEntry(slot))) {
      if (sequence <= this.position.sequence) continue;
      if (found === undefined) {
        if ((await this.floor()).uuid !== floor.uuid) return false;
        throw new CorruptionError(
          `${logKey(sequence)} is missing while the log is listed up to ${listedTo}: entries are ` +
            `written one after the other, so it was deleted; restore it from a bucket version`,
        );
      }
      if (!(await this.#isStillInLog(sequence))) return false;
      // It may have come another way while the floor was read.
      if (sequence > this.position.sequence) this.accept(found, target);
    }
    return true;
  }

  /**
   * False when the entry may have been deleted before it was read, so that the bytes could be a late landing in
   * its slot (M4). Reads the floor only when the last look was long ago: the store was down meanwhile, say.
   */
  async #isStillInLog(sequence: number): Promise<boolean> {
    if (this.#proof.isFresh) return true;
    const begun = this.#proof.now();
    if ((await this.floor()).sequence >= sequence) return false;
    this.#proof.renew(begun);
    return true;
  }

  /** The entry of one slot, or undefined when the slot is free. @throws {CorruptionError} */
  async readEntry(sequence: number): Promise<StoredEntry | undefined> {
    const key = logKey(sequence);
    return this.verified(key, (body) => readStored(body, key));
  }

  /** Reads again when bytes do not pass their check: the fault may be on the way and not in the object. */
  async verified<T extends object>(key: string, check: (body: Uint8Array) => T): Promise<T | undefined> {
    for (let attempt = 1; ; attempt++) {
      const stored = await this.#store.get(key);
      if (stored === undefined) return undefined;
      try {
        return check(stored.body);
      } catch (error) {
        if (!(error instanceof MillraceError) || attempt >= READ_ATTEMPTS) throw error;
        this.#env.events.warn('journal.read-again', { key, attempt, cause: error.message });
      }
    }
  }
}

/** Those of `listed` that follow entry `from` without a gap; before a gap, the one slot that decides what it is. */
function slotsBehind(from: number, listed: readonly ObjectInfo[]): readonly Slot[] {
  const slots = listed.map(({ key, sizeBytes }) => ({ sequence: sequenceOf(key), sizeBytes }));
  const gap = slots.findIndex(({ sequence }, n) => sequence !== from + 1 + n);
  if (gap < 0 && slots.length > 0) return slots;
  // A list that is not one atomic look may have passed an entry over while it was written.
  return gap > 0 ? slots.slice(0, gap) : [{ sequence: from + 1, sizeBytes: undefined }];
}
