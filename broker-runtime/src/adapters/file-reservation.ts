import fs from 'node:fs';
import {
  describeKey,
  isReservationKey,
  ReservationError,
  type Reservation,
  type ReservationReport,
} from '../ports/reservation.ts';
import type { Clock } from '../ports/clock.ts';
import { FileLock } from './file-lock.ts';
import { isSystemError } from './system-error.ts';

/** A change takes a millisecond; a lock that is held for longer belongs to a process that was stopped in one. */
const LOCK_PATIENCE_MS = 5000;
const LOCK_RETRY_MS = 10;
/** As many hosts as an io2 volume may be attached to. */
const MAX_REGISTRANTS = 16;
/** Far above what so many keys take. */
const SIDECAR_MAX_BYTES = 4096;

interface State {
  readonly holder: number | undefined;
  readonly registrants: readonly number[];
  readonly generation: number;
}

const NOBODY: State = { holder: undefined, registrants: [], generation: 0 };

/**
 * Reservations for a file that several processes of one machine share, each playing a host: the local twin's stand-in
 * for an io2 volume. Who holds stands in a file beside it, `<volume>.reservation`, which is never changed, only
 * replaced by rename, under a lock.
 *
 * A file system refuses nobody, so this is advisory: the process that writes asks {@link isHeldBy} itself. It asks
 * *after* each completed write, so one that was stopped in the middle of a write and wakes after a takeover does not
 * acknowledge it (protocol 3.1: check after the write; fence, then read). What it cannot do is abort: such a write
 * may still land. It lands in a file that nobody uses any more, see `openSharedFile`.
 */
export class FileReservation implements Reservation {
  readonly volume: string;
  readonly #clock: Clock;
  readonly #sidecar: string;
  #lock: FileLock | undefined;
  /** Under which key this process registered last: what makes it the same host. */
  #key: number | undefined;
  /**
   * The sidecar as it was last read, kept open: an inode that is open is never given to another file, so equal
   * numbers prove that nothing was replaced since.
   */
  #seen: { readonly fd: number; readonly inode: bigint; readonly holder: number | undefined } | undefined;

  constructor(clock: Clock, volume: string) {
    this.volume = volume;
    this.#clock = clock;
    this.#sidecar = `${volume}.reservation`;
  }

  async register(key: number): Promise<void> {
    this.#checkKey(key);
    await this.#change((state) => {
      const old = this.#key !== undefined && state.registrants.includes(this.#key) ? this.#key : undefined;
      const registrants = [...state.registrants.filter((other) => other !== old && other !== key), key];
      if (registrants.length > MAX_REGISTRANTS) {
        throw this.#conflict(`has ${MAX_REGISTRANTS} registrants already; preempt those that are gone`);
      }
      return {
        ...state,
        registrants,
        holder: old !== undefined && state.holder === old ? key : state.holder,
      };
    });
    this.#key = key;
  }

  async acquire(key: number): Promise<void> {
    await this.#change((state) => {
      this.#checkRegistered(state, key);
      if (state.holder !== undefined && state.holder !== key) {
        throw this.#conflict(`is held by ${describeKey(state.holder)}`);
      }
      return { ...state, holder: key };
    });
  }

  async preemptAndAbort(key: number, victimKey: number): Promise<void> {
    await this.#change((state) => {
      this.#checkRegistered(state, key);
      if (!state.registrants.includes(victimKey)) {
        throw this.#conflict(`has no registrant ${describeKey(victimKey)}`);
      }
      return {
        ...state,
        registrants: state.registrants.filter((other) => other !== victimKey),
        holder: state.holder === victimKey ? key : state.holder,
      };
    });
  }

  async release(key: number): Promise<void> {
    await this.#change((state) => {
      this.#checkRegistered(state, key);
      return {
        ...state,
        registrants: state.registrants.filter((other) => other !== key),
        holder: state.holder === key ? undefined : state.holder,
      };
    });
  }

  async report(): Promise<ReservationReport> {
    return this.#read().state;
  }

  /**
   * Whether `key` holds at this moment. Synchronous, so that nothing comes between the answer and what relies on it;
   * one stat as long as nothing changed.
   */
  isHeldBy(key: number): boolean {
    const seen = this.#seen;
    const now = fs.statSync(this.#sidecar, { bigint: true, throwIfNoEntry: false });
    if (seen !== undefined && now?.ino === seen.inode) return seen.holder === key;
    const { fd, inode, state } = this.#read(true);
    if (seen !== undefined) fs.closeSync(seen.fd);
    this.#seen = fd === undefined ? undefined : { fd, inode, holder: state.holder };
    return state.holder === key;
  }

  /**
   * Runs `act` while `key` holds for certain: nobody can take over before it returned, however long this process is
   * stopped in it. @throws {ReservationError} CONFLICT when `key` does not hold
   */
  async whileHeld(key: number, act: () => void): Promise<void> {
    await this.#underLock(() => {
      if (this.#read().state.holder !== key) throw this.#conflict(`is not held by ${describeKey(key)}`);
      act();
    });
  }

  close(): void {
    this.#lock?.close();
    this.#lock = undefined;
    if (this.#seen !== undefined) fs.closeSync(this.#seen.fd);
    this.#seen = undefined;
  }

  async #change(next: (state: State) => State): Promise<void> {
    await this.#underLock(() => {
      const { state } = this.#read();
      const changed = next(state);
      // One name is enough: only who has the lock writes it.
      const unfinished = `${this.#sidecar}.next`;
      const fd = fs.openSync(unfinished, 'w', 0o600);
      try {
        fs.writeSync(fd, JSON.stringify({ ...changed, generation: state.generation + 1 }));
        fs.fsyncSync(fd);
      } finally {
        fs.closeSync(fd);
      }
      fs.renameSync(unfinished, this.#sidecar);
    });
  }

  /** `act` is synchronous: a lock held over an await would be held for as long as this process is busy elsewhere. */
  async #underLock(act: () => void): Promise<void> {
    const lock = (this.#lock ??= new FileLock(`${this.#sidecar}.lock`));
    const giveUpAtMs = this.#clock.monotonicMs() + LOCK_PATIENCE_MS;
    while (!lock.tryAcquire()) {
      if (this.#clock.monotonicMs() > giveUpAtMs) {
        throw new ReservationError(
          'UNAVAILABLE',
          `${lock.path} is held for ${LOCK_PATIENCE_MS} ms: a process was stopped while it changed the reservation; ` +
            'let it go on or kill it',
        );
      }
      await this.#clock.sleep(LOCK_RETRY_MS);
    }
    try {
      act();
    } finally {
      lock.release();
    }
  }

  /** `keepOpen` gives the descriptor to the caller. */
  #read(keepOpen = false): { fd: number | undefined; inode: bigint; state: State } {
    let fd: number;
    try {
      fd = fs.openSync(this.#sidecar, 'r');
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return { fd: undefined, inode: 0n, state: NOBODY };
      throw this.#unreadable(error);
    }
    let isKept = false;
    try {
      const bytes = Buffer.alloc(SIDECAR_MAX_BYTES);
      const state = parseState(bytes.toString('utf8', 0, fs.readSync(fd, bytes)));
      if (state === undefined) throw this.#unreadable(undefined);
      isKept = keepOpen;
      return { fd: keepOpen ? fd : undefined, inode: fs.fstatSync(fd, { bigint: true }).ino, state };
    } finally {
      if (!isKept) fs.closeSync(fd);
    }
  }

  #checkRegistered(state: State, key: number): void {
    this.#checkKey(key);
    if (!state.registrants.includes(key)) throw this.#conflict(`has no registrant ${describeKey(key)}`);
  }

  #checkKey(key: number): void {
    if (isReservationKey(key)) return;
    throw new ReservationError(
      'UNSUPPORTED',
      `${this.volume}: ${String(key)} is no reservation key; allowed are whole numbers from 1 to 2^53 - 1`,
    );
  }

  #conflict(what: string): ReservationError {
    return new ReservationError('CONFLICT', `${this.volume} ${what}`);
  }

  #unreadable(cause: unknown): ReservationError {
    return new ReservationError(
      'UNSUPPORTED',
      `${this.#sidecar} does not say who holds the volume; if no broker uses the volume, remove that file`,
      { cause },
    );
  }
}

function parseState(text: string): State | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof json !== 'object' || json === null || !('registrants' in json) || !('generation' in json)) {
    return undefined;
  }
  const { registrants, generation } = json;
  const holder = 'holder' in json ? json.holder : undefined;
  if (!Array.isArray(registrants) || !registrants.every(isReservationKey)) return undefined;
  if (typeof generation !== 'number' || !Number.isSafeInteger(generation)) return undefined;
  if (holder !== undefined && !isReservationKey(holder)) return undefined;
  return { holder, registrants, generation };
}
