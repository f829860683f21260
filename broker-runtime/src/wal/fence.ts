import { invariant, MillraceError } from '../base/errors.ts';
import type { BlockDevice } from '../ports/block-device.ts';
import type { Env } from '../ports/env.ts';
import {
  describeKey,
  ReservationError,
  type Reservation,
  type ReservationReport,
} from '../ports/reservation.ts';

/** A takeover is a handful of steps; more rounds mean that somebody works against us, or the device does not answer. */
const MAX_ROUNDS = 20;
const RETRY_MS = 250;

/** The volume is, or may be, somebody else's. */
export class FencedError extends MillraceError {
  readonly code = 'FENCED';
}

export interface TakeoverOptions {
  /**
   * The key of the process whose log is to be read. Undefined only when nothing on the volume is needed any more
   * (the slot is CLEAN, or was never used).
   */
  readonly victimKey?: number;
  /**
   * Who may be displaced; anybody else who holds is left alone. Beside the victim, those who were assigned its
   * recovery before. So a recoverer that slept does not displace one that came after it. Default: anybody.
   */
  readonly expectedHolders?: readonly number[];
  /**
   * How long a write that the device admitted may still take: the longer of its I/O timeout and the node lease. It is
   * waited for when the device did not say itself that the victim's writes have ended. 0 where late writes are told
   * from others in another way, as files do.
   */
  readonly drainMs: number;
}

/**
 * How it is known that no write of the victim is acknowledged from now on, or lands later. `aborted`: the device
 * answered the preempt-and-abort of the victim. `waited`: it did not, so the time that a write may take was let
 * pass; safe only together with the lease check before each acknowledgement (B3). `none`: there was no victim.
 */
export type Drain = 'aborted' | 'waited' | 'none';

let newProof: (volume: string, ownKey: number, drain: Drain) => FenceProof;

/** That nobody but the host of `ownKey` could write to the volume when it was made. Only {@link takeVolume} makes one. */
export class FenceProof {
  readonly volume: string;
  readonly ownKey: number;
  readonly drain: Drain;

  private constructor(volume: string, ownKey: number, drain: Drain) {
    this.volume = volume;
    this.ownKey = ownKey;
    this.drain = drain;
  }

  static {
    newProof = (volume, ownKey, drain) => new FenceProof(volume, ownKey, drain);
  }
}

let newExit: (devices: readonly BlockDevice[]) => PreviousProcessExited;

/** That the process that wrote before is gone. Only {@link previousProcessExited} makes one. */
export class PreviousProcessExited {
  readonly devices: readonly BlockDevice[];

  private constructor(devices: readonly BlockDevice[]) {
    this.devices = devices;
  }

  static {
    newExit = (devices) => new PreviousProcessExited(devices);
  }
}

/** What reading a log demands (I30): a proof for each of its devices, or that its writer has exited. */
export type WriterIsGone = readonly FenceProof[] | PreviousProcessExited;

/**
 * For volumes that only this host can write to (3.4 step 1, B8): the system lets nobody have a device or file that
 * another process of this host holds, and its holder's writes end before its hold does.
 */
export function previousProcessExited(devices: readonly BlockDevice[]): PreviousProcessExited {
  for (const { name, isExclusive } of devices) {
    invariant(isExclusive, 'I30', 'only an exclusive hold proves that the process before has exited', {
      name,
    });
  }
  return newExit(devices);
}

/** @throws {InvariantViolation} I30 */
export function checkWriterIsGone(devices: readonly BlockDevice[], writer: WriterIsGone): void {
  for (const [index, device] of devices.entries()) {
    const isProven =
      writer instanceof PreviousProcessExited
        ? writer.devices[index] === device
        : writer[index] instanceof FenceProof && writer[index].volume === device.name;
    invariant(isProven, 'I30', 'a log is read only after its writer is proven to be gone', {
      device: device.name,
      index,
    });
  }
}

/**
 * Takes a shared volume over, or for the first time: afterwards the device refuses the writes of everybody else, and
 * what it had admitted has landed. Only then may the volume be read (3.5 steps 3 and 4).
 *
 * Every round asks the device what is true and does the one next step, so an answer that was lost, a conflict, and a
 * second start after a crash need no cases of their own. One thing a report does not tell: whether the victim's
 * writes have ended. When the answer to the abort was lost, or another recoverer displaced the victim and died, the
 * report looks the same as after an answered abort; then the time that such a write may take is waited for.
 *
 * @throws {FencedError} somebody else displaced us, or holds it who must not be displaced
 * @throws {ReservationError} UNSUPPORTED; UNAVAILABLE after {@link MAX_ROUNDS}. Nothing was read, it may be repeated
 */
export async function takeVolume(
  env: Env,
  reservation: Reservation,
  ownKey: number,
  options: TakeoverOptions,
): Promise<FenceProof> {
  const takeover = new Takeover(env, reservation, ownKey, options);
  let lastError: unknown;
  for (let round = 1; round <= MAX_ROUNDS; round++) {
    try {
      const proof = await takeover.step();
      if (proof !== undefined) return proof;
    } catch (error) {
      if (!(error instanceof ReservationError) || error.code === 'UNSUPPORTED') throw error;
      lastError = error;
      env.events.warn('fence.step-failed', {
        volume: reservation.volume,
        code: error.code,
        error: error.message,
      });
      await env.clock.sleep(RETRY_MS);
    }
  }
  throw new ReservationError(
    'UNAVAILABLE',
    `${reservation.volume} could not be taken by ${describeKey(ownKey)} in ${MAX_ROUNDS} rounds; ` +
      'look at its reservation report and repeat the takeover',
    { cause: lastError },
  );
}

class Takeover {
  readonly #env: Env;
  readonly #reservation: Reservation;
  readonly #ownKey: number;
  readonly #options: TakeoverOptions;
  /** The report has shown our key once: when it does not any more, somebody removed it. */
  #wasRegistered = false;
  /** The victim, until the device answered its abort; and everybody whose abort was tried and not answered. */
  readonly #undrained = new Set<number>();
  #drain: Drain = 'none';

  constructor(env: Env, reservation: Reservation, ownKey: number, options: TakeoverOptions) {
    this.#env = env;
    this.#reservation = reservation;
    this.#ownKey = ownKey;
    this.#options = options;
    if (options.victimKey !== undefined) this.#undrained.add(options.victimKey);
  }

  /** One look and what follows from it; the proof when nothing is left to do. */
  async step(): Promise<FenceProof | undefined> {
    const report = await this.#reservation.report();
    const { holder } = report;
    this.#checkHolder(holder);
    if (!report.registrants.includes(this.#ownKey)) await this.#register();
    else if (holder === undefined) await this.#acquire();
    else if (holder !== this.#ownKey) await this.#displace(holder);
    else return this.#clearTheRest(report);
    return undefined;
  }

  #checkHolder(holder: number | undefined): void {
    const { expectedHolders, victimKey } = this.#options;
    if (holder === undefined || holder === this.#ownKey || holder === victimKey) return;
    if (expectedHolders === undefined || expectedHolders.includes(holder)) return;
    throw new FencedError(
      `${this.#reservation.volume} is held by ${describeKey(holder)}, who may not be displaced by ` +
        `${describeKey(this.#ownKey)}: this takeover is out of date, ask the controller`,
    );
  }

  async #register(): Promise<void> {
    if (this.#wasRegistered) {
      throw new FencedError(
        `${this.#reservation.volume}: the registration of ${describeKey(this.#ownKey)} was removed by somebody else`,
      );
    }
    await this.#reservation.register(this.#ownKey);
  }

  /** A preempt would reserve nothing while nobody holds. */
  async #acquire(): Promise<void> {
    this.#wasRegistered = true;
    await this.#reservation.acquire(this.#ownKey);
  }

  async #displace(victimKey: number): Promise<void> {
    this.#wasRegistered = true;
    this.#undrained.add(victimKey);
    await this.#reservation.preemptAndAbort(this.#ownKey, victimKey);
    this.#undrained.delete(victimKey);
    this.#drain = 'aborted';
    this.#env.events.info('fence.displaced', {
      volume: this.#reservation.volume,
      victimKey,
      ownKey: this.#ownKey,
    });
  }

  /** We hold. Other registrants could acquire once we release: a victim has no business left here. */
  async #clearTheRest(report: ReservationReport): Promise<FenceProof | undefined> {
    this.#wasRegistered = true;
    const foreign = report.registrants.find((key) => key !== this.#ownKey);
    if (foreign !== undefined) {
      await this.#displace(foreign);
      return undefined;
    }
    if (this.#undrained.size > 0) {
      await this.#waitForWrites();
      // Held while we waited? The next report says.
      return undefined;
    }
    const { volume } = this.#reservation;
    this.#env.events.info('fence.taken', { volume, ownKey: this.#ownKey, drain: this.#drain });
    return newProof(volume, this.#ownKey, this.#drain);
  }

  async #waitForWrites(): Promise<void> {
    const { drainMs } = this.#options;
    this.#env.events.warn('fence.waiting-for-writes', { volume: this.#reservation.volume, drainMs });
    await this.#env.clock.sleep(drainMs);
    this.#undrained.clear();
    this.#drain = 'waited';
  }
}
