import { createHash } from 'node:crypto';
import { ClosedError, CorruptionError, invariant, MillraceError } from '../base/errors.ts';
import type { Env } from '../ports/env.ts';
import type { ObjectStore } from '../ports/object-store.ts';
import {
  decodeEntry,
  encodeEntry,
  genesisHash,
  HASH_BYTES,
  NONCE_BYTES,
  sameBytes,
  sha256,
} from './conditional/entry.ts';
import type { LogEntry } from './conditional/entry.ts';
import { deletableBelow, moveFloor, openFloor, readFloor } from './conditional/floor.ts';
import type { Floor } from './conditional/floor.ts';
import { LOG_PREFIX, logKey, sequenceOf, SNAPSHOT_PREFIX, snapshotKey } from './conditional/keys.ts';
import { RetryingStore } from './conditional/retrying-store.ts';
import { decodeSnapshot, encodeSnapshot } from './conditional/snapshot.ts';
import type { JournalRecord } from './journal.ts';

/** Entries fetched ahead while a tail is replayed: hides the store's latency, costs as many GETs at the end. */
const READ_AHEAD = 16;
/** Reads of bytes that do not pass their checksum, before they count as damaged (protocol 3.7). */
const READ_ATTEMPTS = 3;
/** The floor may move while a reader opens; it starts over then. More often than this, something is wrong (P9). */
const MAX_RESTARTS = 8;
/** Slots lost to others while taking over, before giving up (P8). */
const MAX_LOST_SLOTS = 8;
const DELETE_BATCH_KEYS = 1_000;
const DAY_MS = 86_400_000;
const TEN_MINUTES_MS = 600_000;
/** Wall and monotonic clock may differ by this over one append; more is a suspended machine or a set clock (R9). */
const CLOCK_TOLERANCE_MS = 1_000;

export interface ConditionalLogOptions {
  /** Who writes: for people who read the bucket. */
  readonly writer: string;
  /** How long entries and snapshots live on after the floor passed them. Default one day. */
  readonly gracePeriodMs?: number;
}

/** Who receives what the log holds. */
export interface LogTarget {
  /** Replaces the whole state. May come more than once, when the floor moves under a slow reader. */
  restore(state: Uint8Array, sequence: number): void;
  /** Back to the state before entry 1. */
  clear(): void;
  apply(record: JournalRecord, sequence: number): void;
}

/**
 * The log on conditional puts (protocol 3.3): entry n is the object `meta/log/<n>`, written by put-if-absent, so
 * one writer gets the slot and every other learns that it lost. Knows nothing of what the records mean.
 *
 * One append at a time. Order of use: {@link open}, {@link load}, {@link takeOver}, then {@link append}.
 */
export class ConditionalLog {
  readonly clusterId: string;
  readonly #env: Env;
  readonly #store: RetryingStore;
  readonly #abort: AbortController;
  readonly #writer: string;
  readonly #gracePeriodMs: number;
  /** Appends quicker than this need no look at the floor: nothing is deleted before the grace period ends. */
  readonly #trustedAppendMs: number;
  #sequence = 0;
  #lastHash: Uint8Array;
  /** Highest epoch seen in the log, and ours once we took over. */
  #epoch = 0;
  #isAppending = false;

  static async open(env: Env, store: ObjectStore, options: ConditionalLogOptions): Promise<ConditionalLog> {
    const abort = new AbortController();
    const retrying = new RetryingStore(env, store, abort.signal);
    const floor = await openFloor(env, retrying, options.writer);
    return new ConditionalLog(env, retrying, abort, options, floor.clusterId);
  }

  private constructor(
    env: Env,
    store: RetryingStore,
    abort: AbortController,
    options: ConditionalLogOptions,
    clusterId: string,
  ) {
    this.#env = env;
    this.#store = store;
    this.#abort = abort;
    this.#writer = options.writer;
    this.#gracePeriodMs = options.gracePeriodMs ?? DAY_MS;
    this.#trustedAppendMs = Math.min(TEN_MINUTES_MS, this.#gracePeriodMs / 144);
    this.clusterId = clusterId;
    this.#lastHash = genesisHash(clusterId);
  }

  /** Newest entry applied or appended. */
  get sequence(): number {
    return this.#sequence;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** Why an operation is being repeated, or undefined. */
  get trouble(): string | undefined {
    return this.#store.trouble;
  }

  /**
   * Brings `target` to the state at the end of the log: snapshot at the floor, then every entry up to the first
   * free slot, each checked for damage, place and hash chain (I18).
   * @throws {CorruptionError} also when a snapshot that the floor names is missing: the log below it is gone, so
   * starting from entry 1 would quietly lose everything
   */
  async load(target: LogTarget): Promise<void> {
    for (let restarts = 0; restarts < MAX_RESTARTS; restarts++) {
      const floor = await this.#floor();
      if (!(await this.#restore(floor, target))) continue;
      if (await this.#replayTail(floor, target)) return;
    }
    throw new CorruptionError(
      `the floor moved ${MAX_RESTARTS} times while the log was read: a writer takes snapshots faster than this ` +
        `process can read them; raise the snapshot interval`,
    );
  }

  /**
   * Makes this process the writer: an entry of a higher epoch at the end of the log, after which no earlier
   * writer can place another (3.2 step 4). Entries of a zombie that was quicker are applied.
   */
  async takeOver(target: LogTarget): Promise<void> {
    for (let losses = 0; losses < MAX_LOST_SLOTS; losses++) {
      this.#epoch++;
      try {
        await this.append([]);
        return;
      } catch (error) {
        if (!(error instanceof SupersededError)) throw error;
        await this.load(target);
      }
    }
    throw new SupersededError(
      this.#sequence,
      `lost ${MAX_LOST_SLOTS} slots in a row to another process that writes this cluster; stop that process first`,
    );
  }

  /**
   * Appends one entry and returns its sequence when it is certainly there. Waits while the store is down.
   * @throws {SupersededError} another writer has the slot, or the floor has passed it: state must be reloaded
   * @throws {ClosedError} closed while the outcome was unknown: the entry may or may not be in the log
   */
  async append(records: readonly JournalRecord[]): Promise<number> {
    invariant(
      !this.#isAppending,
      'I18',
      'one append at a time: a slot is tried only when the one before is known',
    );
    this.#isAppending = true;
    try {
      const sequence = this.#sequence + 1;
      const nonce = this.#env.random.bytes(NONCE_BYTES);
      const bytes = encodeEntry({
        sequence,
        writerEpoch: this.#epoch,
        nonce,
        prevHash: this.#lastHash,
        records,
      });
      const { clock } = this.#env;
      const begunMs = clock.monotonicMs();
      const begunWallMs = clock.wallMs();
      const answer = await this.#store.put(logKey(sequence), bytes, { kind: 'absent' });
      if (answer.outcome === 'rejected') await this.#checkOccupant(sequence, nonce);
      const tookMs = clock.monotonicMs() - begunMs;
      const jumpedMs = Math.abs(clock.wallMs() - begunWallMs - tookMs);
      if (tookMs > this.#trustedAppendMs || jumpedMs > CLOCK_TOLERANCE_MS) await this.#checkFloor(sequence);
      this.#sequence = sequence;
      this.#lastHash = sha256(bytes);
      return sequence;
    } finally {
      this.#isAppending = false;
    }
  }

  /** What {@link snapshot} needs, taken at the very entry the state stands at. */
  position(): LogPosition {
    return { sequence: this.#sequence, writerEpoch: this.#epoch, lastHash: this.#lastHash };
  }

  /**
   * Stores the state at `position`, reads it back, and only then moves the floor to it. A crash at any point
   * leaves the old floor valid and at most one object that nothing names.
   */
  async snapshot(position: LogPosition, state: Uint8Array): Promise<void> {
    const bytes = encodeSnapshot({ ...position, state });
    const key = snapshotKey(position.sequence, hexSha256(bytes));
    // Rejected: the same bytes are there, from an earlier try or another node (the name holds their hash).
    await this.#store.put(key, bytes, { kind: 'absent' });
    const stored = await this.#verified(key, (body) => {
      if (sameBytes(body, bytes)) return body;
      throw new CorruptionError(`${key} does not read back as written`);
    });
    if (stored === undefined) throw new CorruptionError(`${key} vanished right after it was written`);
    await moveFloor(
      this.#env,
      this.#store,
      { writer: this.#writer, epoch: this.#epoch },
      { sequence: position.sequence, snapshot: key },
      this.#gracePeriodMs / 24,
    );
  }

  /** Deletes what has been below the floor for the grace period, late landings included. @returns objects deleted */
  async deleteOld(): Promise<number> {
    const floor = await this.#floor();
    const below = deletableBelow(floor, this.#env.clock.wallMs(), this.#gracePeriodMs);
    const entries = await this.#deleteBelow(LOG_PREFIX, below);
    const snapshots = await this.#deleteBelow(SNAPSHOT_PREFIX, below);
    return entries + snapshots;
  }

  /** Gives up what is being repeated. An append under way ends with {@link ClosedError} and an unknown outcome. */
  close(): void {
    this.#abort.abort(new ClosedError('the log was closed; what was being appended may or may not be in it'));
  }

  async #floor(): Promise<Floor> {
    const stored = await readFloor(this.#store);
    if (stored === undefined)
      throw new CorruptionError('meta/floor is missing; restore it from a bucket version');
    if (stored.floor.clusterId !== this.clusterId) {
      throw new CorruptionError(
        `the bucket now belongs to cluster ${stored.floor.clusterId}, this process opened ${this.clusterId}`,
      );
    }
    return stored.floor;
  }

  /** False when the snapshot is gone because the floor moved on: start over. */
  async #restore(floor: Floor, target: LogTarget): Promise<boolean> {
    if (floor.snapshot === null) {
      target.clear();
      this.#sequence = 0;
      this.#epoch = 0;
      this.#lastHash = genesisHash(this.clusterId);
      return true;
    }
    const key = floor.snapshot;
    const snapshot = await this.#verified(key, (body) => {
      if (snapshotKey(floor.sequence, hexSha256(body)) !== key) {
        throw new CorruptionError(`${key} holds other bytes than its name says`);
      }
      return decodeSnapshot(body, key);
    });
    if (snapshot === undefined) {
      if ((await this.#floor()).uuid !== floor.uuid) return false;
      throw new CorruptionError(
        `${key} is named by meta/floor and missing; restore it from a bucket version. The log below it was ` +
          `deleted, so this cluster cannot be opened without it`,
      );
    }
    invariant(snapshot.sequence === floor.sequence, 'I20', 'a snapshot stands where the floor says', { key });
    target.restore(snapshot.state, snapshot.sequence);
    this.#sequence = snapshot.sequence;
    this.#epoch = snapshot.writerEpoch;
    this.#lastHash = snapshot.lastHash.slice();
    return true;
  }

  /** Applies entries up to the first free slot. False when the entries are gone because the floor moved on. */
  async #replayTail(floor: Floor, target: LogTarget): Promise<boolean> {
    const ahead: Promise<ReadEntry | undefined>[] = [];
    try {
      for (;;) {
        while (ahead.length < READ_AHEAD) ahead.push(this.#readEntry(this.#sequence + 1 + ahead.length));
        const next = await ahead.shift();
        if (next !== undefined) {
          this.#accept(next, target);
          continue;
        }
        // The end, a deleted entry, or a hole: a list shows whether anything stands at or after this slot.
        const later = await this.#store.list(LOG_PREFIX, { after: logKey(this.#sequence), limit: 1 });
        if (later.objects.length === 0) return true;
        await Promise.all(ahead.splice(0));
        const again = await this.#readEntry(this.#sequence + 1);
        if (again !== undefined) {
          this.#accept(again, target);
        } else if ((await this.#floor()).uuid !== floor.uuid) {
          return false;
        } else {
          throw new CorruptionError(
            `${logKey(this.#sequence + 1)} is missing while ${later.objects[0]?.key ?? ''} is there: entries are ` +
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
    const key = logKey(this.#sequence + 1);
    if (entry.sequence !== this.#sequence + 1) {
      throw new CorruptionError(`${key} says it is entry ${entry.sequence}`);
    }
    if (!sameBytes(entry.prevHash, this.#lastHash)) {
      throw new CorruptionError(`${key} does not follow the entry before it: the hash chain is broken (I18)`);
    }
    invariant(entry.writerEpoch >= this.#epoch, 'I19', 'writer epochs in the log do not go back', {
      key,
      epoch: entry.writerEpoch,
      highest: this.#epoch,
    });
    for (const record of entry.records) target.apply(record, entry.sequence);
    this.#sequence = entry.sequence;
    this.#epoch = entry.writerEpoch;
    this.#lastHash = hash;
  }

  async #readEntry(sequence: number): Promise<ReadEntry | undefined> {
    const key = logKey(sequence);
    return this.#verified(key, (body) => ({ entry: decodeEntry(body, key), hash: sha256(body) }));
  }

  /** Reads again when bytes do not pass their check: the fault may be on the way and not in the object. */
  async #verified<T extends object>(key: string, check: (body: Uint8Array) => T): Promise<T | undefined> {
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

  /** The slot is taken: by an earlier try of ours whose answer was lost (P1), or by another writer. */
  async #checkOccupant(sequence: number, nonce: Uint8Array): Promise<void> {
    const occupant = await this.#readEntry(sequence);
    if (occupant !== undefined && sameBytes(occupant.entry.nonce, nonce)) return;
    throw new SupersededError(
      sequence,
      occupant === undefined
        ? `entry ${sequence} was taken by another writer and deleted since: this process was away for long`
        : `another process writes this cluster: it has entry ${sequence}, with epoch ${occupant.entry.writerEpoch}; ` +
            `ours is ${this.#epoch}`,
    );
  }

  /** Step F: a slot below the floor was deleted and is free again, so winning it means nothing (P4, M4). */
  async #checkFloor(sequence: number): Promise<void> {
    const floor = await this.#floor();
    if (floor.sequence < sequence) return;
    throw new SupersededError(
      sequence,
      `another process writes this cluster: the floor has moved to ${floor.sequence} while entry ${sequence} was ` +
        `being appended`,
    );
  }

  async #deleteBelow(prefix: string, below: number): Promise<number> {
    let deleted = 0;
    for (;;) {
      const page = await this.#store.list(prefix, { limit: DELETE_BATCH_KEYS });
      const keys = page.objects.map((object) => object.key).filter((key) => sequenceOf(key) < below);
      if (keys.length === 0) return deleted;
      await this.#store.delete(keys);
      deleted += keys.length;
    }
  }
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

/** Another process took the log over: what this one has in memory may be old. */
export class SupersededError extends MillraceError {
  readonly code = 'SUPERSEDED';
  readonly sequence: number;

  constructor(sequence: number, message: string) {
    super(message);
    this.sequence = sequence;
  }
}

function hexSha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Bytes a log entry adds to its records. */
export const ENTRY_OVERHEAD_BYTES = 4 + 1 + 8 + 8 + NONCE_BYTES + HASH_BYTES + 4 + 4;
