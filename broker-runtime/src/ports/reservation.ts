import { MillraceError } from '../base/errors.ts';

/**
 * One shared volume as one host sees it, with reservations of type Write Exclusive (NVMe type 1): while somebody
 * holds the reservation, the device takes writes of the holder's host alone; everybody may read.
 *
 * Who writes is decided by the device when it *admits* a write. What it admitted before may land after a takeover
 * began: that is what {@link preemptAndAbort} is for, and why `wal/fence.ts` is the one place that calls these in
 * order. A reservation is per host: it does not keep two processes of one host apart, an exclusive open does.
 *
 * Every call may end with UNAVAILABLE and have taken effect nevertheless (T4): ask {@link report}.
 */
export interface Reservation {
  /** Equal to the `name` of the {@link BlockDevice} for the same volume. */
  readonly volume: string;

  /**
   * Makes this host a registrant under `key`. A key that an earlier process of this host left is replaced by it, and
   * a reservation held with that one is held with the new one.
   * @throws {ReservationError}
   */
  register(key: number): Promise<void>;

  /** Holds the reservation. @throws {ReservationError} CONFLICT: somebody else holds it, or `key` is not registered */
  acquire(key: number): Promise<void>;

  /**
   * Removes the registration of `victimKey`; when that held the reservation, `key` holds it now. Resolves when no
   * write of the victim is under way in the device any more. While nobody holds, it reserves nothing.
   * @throws {ReservationError} CONFLICT: `victimKey` is unknown (any more), or `key` is not registered
   */
  preemptAndAbort(key: number, victimKey: number): Promise<void>;

  /** Gives up the reservation, when `key` holds it, and the registration. @throws {ReservationError} */
  release(key: number): Promise<void>;

  /** What the device says now. @throws {ReservationError} UNAVAILABLE, UNSUPPORTED */
  report(): Promise<ReservationReport>;

  /** Frees what this process has open for it; what the device knows stays as it is. */
  close(): void;
}

export interface ReservationReport {
  readonly holder: number | undefined;
  readonly registrants: readonly number[];
  /** Counts changes of the registrants, where the device tells. */
  readonly generation?: number;
}

/**
 * CONFLICT: the device refused, because of who holds or is registered; nothing changed.
 * UNSUPPORTED: repeating cannot help: no reservations here, a foreign kind of reservation or key, a missing program.
 * UNAVAILABLE: no answer, or one that says nothing; it may have taken effect.
 */
export type ReservationErrorCode = 'CONFLICT' | 'UNSUPPORTED' | 'UNAVAILABLE';

export class ReservationError extends MillraceError {
  readonly code: ReservationErrorCode;

  constructor(code: ReservationErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

const NODE_ID_MAX = 2 ** 16 - 1;
const NODE_EPOCH_BITS = 37;
const NODE_EPOCH_MAX = 2 ** NODE_EPOCH_BITS - 1;

/**
 * The key under which a process registers, never the same for two of them: an epoch is given out once.
 *
 *   bits 52 to 37  node id
 *   bits 36 to 0   node epoch, from 1 on: the sequence of the registration's entry in the metadata log, which at
 *                  30 entries a second lasts 145 years
 *
 * 53 bits and not the 64 of NVMe: reports give keys as JSON numbers, and those above 2^53 are rounded. Never 0, which
 * NVMe takes for "no key".
 * @throws {ReservationError} UNSUPPORTED when they do not fit
 */
export function reservationKey(nodeId: number, nodeEpoch: number): number {
  if (!isWhole(nodeId, 0, NODE_ID_MAX) || !isWhole(nodeEpoch, 1, NODE_EPOCH_MAX)) {
    throw new ReservationError(
      'UNSUPPORTED',
      `node ${nodeId} with epoch ${nodeEpoch} has no reservation key: a node id may be 0 to ${NODE_ID_MAX}, an epoch ` +
        `1 to ${NODE_EPOCH_MAX}; give brokers on shared volumes smaller node ids`,
    );
  }
  return nodeId * 2 ** NODE_EPOCH_BITS + nodeEpoch;
}

/** A key as people should read it. */
export function describeKey(key: number): string {
  const { nodeId, nodeEpoch } = nodeOfKey(key);
  return `${key} (node ${nodeId}, epoch ${nodeEpoch})`;
}

/** Whose key it is. */
export function nodeOfKey(key: number): { readonly nodeId: number; readonly nodeEpoch: number } {
  const nodeEpoch = key % 2 ** NODE_EPOCH_BITS;
  return { nodeId: (key - nodeEpoch) / 2 ** NODE_EPOCH_BITS, nodeEpoch };
}

/** What adapters demand of every key they are given or told. */
export function isReservationKey(key: unknown): key is number {
  return typeof key === 'number' && isWhole(key, 1, Number.MAX_SAFE_INTEGER);
}

function isWhole(value: number, min: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= min && value <= max;
}
