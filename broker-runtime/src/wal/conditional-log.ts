import { ClosedError, CorruptionError, invariant, MillraceError } from '../base/errors.ts';
import type { Env } from '../ports/env.ts';
import type { ObjectStore } from '../ports/object-store.ts';
import { encodeEntry, hexSha256, NONCE_BYTES, sameBytes, sha256 } from './conditional/entry.ts';
import { deletableBelow, moveFloor, openFloor } from './conditional/floor.ts';
import { DEFAULT_GRACE_PERIOD_MS, FloorProof } from './conditional/floor-proof.ts';
import { LOG_PREFIX, logKey, sequenceOf, SNAPSHOT_PREFIX, snapshotKey } from './conditional/keys.ts';
import { LogReader } from './conditional/log-reader.ts';
import type { LogPosition, LogTarget } from './conditional/log-reader.ts';
import { RetryingStore } from './conditional/retrying-store.ts';
import { encodeSnapshot } from './conditional/snapshot.ts';
import type { JournalRecord } from './journal.ts';

export type { LogPosition, LogTarget } from './conditional/log-reader.ts';

/** Slots lost to others while taking over, before giving up (P8). */
const MAX_LOST_SLOTS = 8;
const DELETE_BATCH_KEYS = 1_000;

export interface ConditionalLogOptions {
  /** Who writes: for people who read the bucket. */
  readonly writer: string;
  /** How long entries and snapshots live on after the floor passed them. Default one day. */
  readonly gracePeriodMs?: number;
  /** The epoch to take the log over with, if the log holds none as high: that of the lease won (3.2 step 4). */
  readonly minimumEpoch?: number;
  /** Closes the log, also while it is being opened: the lease it was opened under is lost. */
  readonly signal?: AbortSignal;
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
  readonly #minimumEpoch: number;
  readonly #proof: FloorProof;
  readonly #reader: LogReader;
  /** Highest epoch seen in the log, and ours once we took over. */
  #epoch = 0;
  #isAppending = false;

  static async open(env: Env, store: ObjectStore, options: ConditionalLogOptions): Promise<ConditionalLog> {
    const abort = new AbortController();
    const signals = options.signal === undefined ? [abort.signal] : [abort.signal, options.signal];
    const retrying = new RetryingStore(env, store, AbortSignal.any(signals));
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
    this.#gracePeriodMs = options.gracePeriodMs ?? DEFAULT_GRACE_PERIOD_MS;
    this.#minimumEpoch = options.minimumEpoch ?? 0;
    this.clusterId = clusterId;
    this.#proof = new FloorProof(env.clock, this.#gracePeriodMs);
    this.#reader = new LogReader(env, store, clusterId, this.#proof);
  }

  /** Newest entry applied or appended. */
  get sequence(): number {
    return this.#reader.position.sequence;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** Why an operation is being repeated, or undefined. */
  get trouble(): string | undefined {
    return this.#store.trouble;
  }

  /** See {@link LogReader.load}. @throws {CorruptionError} */
  async load(target: LogTarget): Promise<void> {
    await this.#reader.load(target, 'free-slot');
    this.#epoch = this.#reader.position.writerEpoch;
  }

  /**
   * Makes this process the writer: an entry of a higher epoch at the end of the log, after which no earlier
   * writer can place another (3.2 step 4). Entries of a zombie that was quicker are applied: only those, because
   * a taker that read everything again would be slower than a busy writer each time (P8).
   */
  async takeOver(target: LogTarget): Promise<void> {
    for (let losses = 0; losses < MAX_LOST_SLOTS; losses++) {
      this.#epoch = Math.max(this.#epoch + 1, this.#minimumEpoch);
      try {
        const { sequence, bytes } = await this.append([]);
        target.applied(sequence, bytes);
        return;
      } catch (error) {
        if (!(error instanceof SupersededError)) throw error;
        await this.#reader.catchUp(target, 'free-slot');
        this.#epoch = this.#reader.position.writerEpoch;
      }
    }
    throw new SupersededError(
      this.sequence,
      `lost ${MAX_LOST_SLOTS} slots in a row to another process that writes this cluster; stop that process first`,
    );
  }

  /**
   * Appends one entry and returns it when it is certainly there. Waits while the store is down.
   * @throws {SupersededError} another writer has the slot, or the floor has passed it: state must be reloaded
   * @throws {ClosedError} closed while the outcome was unknown: the entry may or may not be in the log
   */
  async append(records: readonly JournalRecord[]): Promise<Appended> {
    invariant(
      !this.#isAppending,
      'I18',
      'one append at a time: a slot is tried only when the one before is known',
    );
    this.#isAppending = true;
    try {
      const { lastHash: prevHash } = this.#reader.position;
      const sequence = this.sequence + 1;
      const nonce = this.#env.random.bytes(NONCE_BYTES);
      const bytes = encodeEntry({
        sequence,
        writerEpoch: this.#epoch,
        nonce,
        prevHash,
        records,
      });
      const begun = this.#proof.now();
      const answer = await this.#store.put(logKey(sequence), bytes, { kind: 'absent' });
      if (answer.outcome === 'rejected') await this.#checkOccupant(sequence, nonce);
      if (!this.#proof.isFresh) await this.#checkFloor(sequence);
      this.#proof.renew(begun);
      this.#reader.position = { sequence, writerEpoch: this.#epoch, lastHash: sha256(bytes) };
      return { sequence, bytes };
    } finally {
      this.#isAppending = false;
    }
  }

  /** What {@link snapshot} needs, taken at the very entry the state stands at. */
  position(): LogPosition {
    return this.#reader.position;
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
    const stored = await this.#reader.verified(key, (body) => {
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
    const floor = await this.#reader.floor();
    const below = deletableBelow(floor, this.#env.clock.wallMs(), this.#gracePeriodMs);
    const entries = await this.#deleteBelow(LOG_PREFIX, below);
    const snapshots = await this.#deleteBelow(SNAPSHOT_PREFIX, below);
    return entries + snapshots;
  }

  /** Gives up what is being repeated. An append under way ends with {@link ClosedError} and an unknown outcome. */
  close(): void {
    this.#abort.abort(new ClosedError('the log was closed; what was being appended may or may not be in it'));
  }

  /** The slot is taken: by an earlier try of ours whose answer was lost (P1), or by another writer. */
  async #checkOccupant(sequence: number, nonce: Uint8Array): Promise<void> {
    const occupant = await this.#reader.readEntry(sequence);
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
    const floor = await this.#reader.floor();
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

/** A committed entry of ours; `bytes` are as stored. */
export interface Appended {
  readonly sequence: number;
  readonly bytes: Uint8Array;
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
