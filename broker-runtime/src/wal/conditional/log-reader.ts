import { CorruptionError, invariant, MillraceError } from '../../base/errors.ts';
import type { Env } from '../../ports/env.ts';
import type { JournalRecord } from '../journal.ts';
import { decodeEntry, genesisHash, hexSha256, sameBytes, sha256 } from './entry.ts';
import type { LogEntry } from './entry.ts';
import { readFloor } from './floor.ts';
import type { Floor } from './floor.ts';
import { LOG_PREFIX, logKey, snapshotKey } from './keys.ts';
import type { RetryingStore } from './retrying-store.ts';
import { decodeSnapshot } from './snapshot.ts';

/** Entries fetched ahead while a tail is replayed: hides the store's latency, costs as many GETs at the end. */
const READ_AHEAD = 16;
/** Reads of bytes that do not pass their checksum, before they count as damaged (protocol 3.7). */
const READ_ATTEMPTS = 3;
/** The floor may move while a reader opens; it starts over then. More often than this, something is wrong (P9). */
const MAX_RESTARTS = 8;
/** Who receives what the log holds. */
export interface LogTarget {
  /** Replaces the whole state. May come more than once, when the floor moves under a slow reader. */
  restore(state: Uint8Array, sequence: number): void;
  /** Back to the state before entry 1. */
  clear(): void;
  apply(record: JournalRecord, sequence: number): void;
}

/** The end of the log at one moment. */
export interface LogPosition {
  readonly sequence: number;
  readonly writerEpoch: number;
  readonly lastHash: Uint8Array;
}

interface ReadEntry {
  readonly entry: LogEntry;
  readonly hash: Uint8Array;
}

/** Reads the log: from the snapshot at the floor, entry after entry, to the first free slot. */
export class LogReader {
  readonly #env: Env;
  readonly #store: RetryingStore;
  readonly #clusterId: string;
  /** What was applied last, or appended: the writer moves it on. */
  position: LogPosition;

  constructor(env: Env, store: RetryingStore, clusterId: string) {
    this.#env = env;
    this.#store = store;
    this.#clusterId = clusterId;
    this.position = this.#beginning();
  }

  /**
   * Brings `target` to the state at the end of the log: snapshot at the floor, then every entry up to the first
   * free slot, each checked for damage, place and hash chain (I18).
   * @throws {CorruptionError} also when a snapshot that the floor names is missing: the log below it is gone, so
   * starting from entry 1 would quietly lose everything
   */
  async load(target: LogTarget): Promise<void> {
    for (let restarts = 0; restarts < MAX_RESTARTS; restarts++) {
      const floor = await this.floor();
      if (!(await this.#restore(floor, target))) continue;
      if (await this.#replayTail(floor, target)) return;
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

  /** False when the snapshot is gone because the floor moved on: start over. */
  async #restore(floor: Floor, target: LogTarget): Promise<boolean> {
    if (floor.snapshot === null) {
      target.clear();
      this.position = this.#beginning();
      return true;
    }
    const key = floor.snapshot;
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
    target.restore(snapshot.state, snapshot.sequence);
    const { sequence, writerEpoch, lastHash } = snapshot;
    this.position = { sequence, writerEpoch, lastHash: lastHash.slice() };
    return true;
  }

  /** Applies entries up to the first free slot. False when the entries are gone because the floor moved on. */
  async #replayTail(floor: Floor, target: LogTarget): Promise<boolean> {
    const ahead: Promise<ReadEntry | undefined>[] = [];
    try {
      for (;;) {
        while (ahead.length < READ_AHEAD)
          ahead.push(this.readEntry(this.position.sequence + 1 + ahead.length));
        const next = await ahead.shift();
        if (next !== undefined) {
          this.#accept(next, target);
          continue;
        }
        // The end, a deleted entry, or a hole: a list shows whether anything stands at or after this slot.
        const later = await this.#store.list(LOG_PREFIX, { after: logKey(this.position.sequence), limit: 1 });
        if (later.objects.length === 0) return true;
        await Promise.all(ahead.splice(0));
        const again = await this.readEntry(this.position.sequence + 1);
        if (again !== undefined) {
          this.#accept(again, target);
        } else if ((await this.floor()).uuid !== floor.uuid) {
          return false;
        } else {
          throw new CorruptionError(
            `${logKey(this.position.sequence + 1)} is missing while ${later.objects[0]?.key ?? ''} is there: entries are ` +
              `written one after the other, so it was deleted; restore it from a bucket version`,
          );
        }
      }
    } finally {
      await Promise.allSettled(ahead);
    }
  }

  #accept(next: ReadEntry, target: LogTarget): void {
    const { entry, hash } = next;
    const key = logKey(this.position.sequence + 1);
    if (entry.sequence !== this.position.sequence + 1) {
      throw new CorruptionError(`${key} says it is entry ${entry.sequence}`);
    }
    if (!sameBytes(entry.prevHash, this.position.lastHash)) {
      throw new CorruptionError(`${key} does not follow the entry before it: the hash chain is broken (I18)`);
    }
    invariant(
      entry.writerEpoch >= this.position.writerEpoch,
      'I19',
      'writer epochs in the log do not go back',
      {
        key,
        epoch: entry.writerEpoch,
        highest: this.position.writerEpoch,
      },
    );
    for (const record of entry.records) target.apply(record, entry.sequence);
    this.position = { sequence: entry.sequence, writerEpoch: entry.writerEpoch, lastHash: hash };
  }

  /** The entry of one slot, or undefined when the slot is free. @throws {CorruptionError} */
  async readEntry(sequence: number): Promise<ReadEntry | undefined> {
    const key = logKey(sequence);
    return this.verified(key, (body) => ({ entry: decodeEntry(body, key), hash: sha256(body) }));
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

  #beginning(): LogPosition {
    return { sequence: 0, writerEpoch: 0, lastHash: genesisHash(this.#clusterId) };
  }
}
