import { MillraceError } from '../base/errors.ts';

/** What the WAL stores: opaque bytes of one stream that cover `count` offsets from `baseOffset` on. */
export interface WalEntry {
  readonly streamId: number;
  readonly baseOffset: number;
  readonly count: number;
  /** The newest timestamp inside, for time lookup and retention after the bytes left the WAL; -1 when there is none. */
  readonly maxTimestampMs: number;
  /** A view into the group's memory: valid while the group is retained. */
  readonly bytes: Uint8Array;
  /** CRC-32C of `bytes` where whoever appended them knew it; saves reading them again. */
  readonly crc32c?: number | undefined;
}

/**
 * Entries that become durable together by one write. Its memory is the write's source, the tail cache and the
 * upload's source at once (one copy from socket to S3), so it is reference counted: the WAL holds one reference
 * until the group is durable, everyone else retains before use and releases after.
 */
export interface WalGroup {
  /** Dense: the next group has the next number, across restarts and takeovers. */
  readonly sequence: number;
  /** Memory (and ring space) this group occupies, padding included. */
  readonly sizeBytes: number;
  readonly entries: readonly WalEntry[];
  /** The group and all before it are durable and the fence proof after it held. One promise for all its entries. */
  readonly durable: Promise<void>;
  retain(): void;
  release(): void;
}

/** A group as it was read back. Its memory is ordinary and belongs to whoever holds it. */
export interface RecoveredGroup {
  readonly sequence: number;
  readonly entries: readonly WalEntry[];
}

/**
 * The write-ahead log of one broker (design D4: its kinds are plug-ins of this interface).
 *
 * Order of use: `admit` the bytes, and in the same turn (no await between) `append` each entry. Admission is
 * first come, first served, so requests keep their order while the ring or its memory is full.
 */
export interface Wal {
  /**
   * Reserves ring space and memory for entries of `payloadBytes` in all, `entryCount` of them. Undefined means
   * admitted at once. Waits while the ring is full (uploads lag) or all memory is held: this is the back-pressure
   * that reaches producers.
   * @throws {WalClosedError} when the WAL failed or was closed, also while waiting
   * @throws {EntryTooLargeError} when it could never fit
   * @throws {AdmissionExpiredError} (rejects) when the patience is over; nothing was reserved
   */
  admit(payloadBytes: number, entryCount: number, patience?: Patience): Promise<void> | undefined;

  /**
   * Copies the bytes into the group being filled and returns that group; must have been admitted. `crc32c` is that
   * of `bytes` when the caller knows it: then they are only copied, not read again for checksums.
   */
  append(
    streamId: number,
    baseOffset: number,
    count: number,
    maxTimestampMs: number,
    bytes: Uint8Array,
    crc32c?: number,
  ): WalGroup;

  /** Frees ring space up to and including group `sequence`: its entries are in committed objects (I27). */
  trim(sequence: number): Promise<void>;

  /** Ring bytes in use and in all. */
  readonly usedBytes: number;
  readonly capacityBytes: number;

  /**
   * What the append that is first in line needs; 0 when none waits. With little memory appends wait long before the ring is full:
   * groups stay in memory until they are uploaded.
   */
  readonly waitingBytes: number;

  /** Waits for pending writes, not for ever, then releases the devices. What hangs until then fails. */
  close(): Promise<void>;
}

/** How long a place in the line before a full WAL is kept. Without it: until there is room. */
export interface Patience {
  readonly ms: number;
  /** Aborted when whoever waits is gone. */
  readonly signal?: AbortSignal | undefined;
}

/** Who learns what, wired at construction because each is called on the hot path. */
export interface WalListener {
  /** Groups become durable in sequence order, before their `durable` promise resolves. */
  onDurable(group: WalGroup): void;
  /** All group memory is held and an admission waits: let go of what only serves as a cache. */
  onMemoryWanted(bytes: number): void;
  /** A write failed or the fence is in doubt: nothing will be acknowledged any more; the process must stop. */
  onFailed(error: Error): void;
}

/** The WAL acknowledges nothing any more: it was closed, a write failed, or this broker is fenced. */
export class WalClosedError extends MillraceError {
  readonly code = 'WAL_CLOSED';
}

/** Whoever waited for room waited long enough, or is gone: nothing of it was appended. */
export class AdmissionExpiredError extends MillraceError {
  readonly code = 'ADMISSION_EXPIRED';
}

/** One append is larger than a group, the ring or its memory can ever hold. */
export class EntryTooLargeError extends MillraceError {
  readonly code = 'ENTRY_TOO_LARGE';
}

/** The medium belongs to another cluster, broker or stripe set, has another size, or the epoch is not newer. */
export class WalMismatchError extends MillraceError {
  readonly code = 'WAL_MISMATCH';
}

/** Sizes that cannot work together. */
export class WalOptionsError extends MillraceError {
  readonly code = 'WAL_OPTIONS';
}
