import { MillraceError } from '../base/errors.ts';

/** Every position and length of device I/O is a multiple of this; so is the alignment of memory from `allocate`. */
export const DEVICE_BLOCK_BYTES = 4096;

/**
 * A raw device, or a preallocated file that behaves like one. A write is durable when its promise resolves
 * (O_DIRECT | O_DSYNC). Writes and reads may complete out of order. A crash leaves of a pending write none,
 * all, or any subset of its sectors.
 */
export interface BlockDevice {
  /** Names the device in events and errors: a path, a volume id. */
  readonly name: string;

  /** A multiple of {@link DEVICE_BLOCK_BYTES}. */
  readonly capacityBytes: number;

  /** No other process of this host can have it open before this one closed it or exited (3.4 step 1). */
  readonly isExclusive: boolean;

  /**
   * Zero-filled, page-aligned memory that direct I/O accepts; `bytes` is a multiple of {@link DEVICE_BLOCK_BYTES}.
   * Never returned to the system: callers allocate slabs once and recycle them.
   */
  allocate(bytes: number): Uint8Array;

  /** Fills `into`, which must come from `allocate` (or be an aligned part of it). @throws {BlockDeviceError} */
  read(position: number, into: Uint8Array): Promise<void>;

  /**
   * Writes and makes durable. The memory must not change until the promise settles.
   * Any error means "perhaps fenced" (protocol 4): the caller stops acknowledging and stops the process.
   * @throws {BlockDeviceError}
   */
  write(position: number, bytes: Uint8Array): Promise<void>;

  close(): Promise<void>;
}

/**
 * BUSY: another process holds the device. FENCED: the device refused because of a reservation (EBADE).
 * IO: any other error. UNSUITABLE: wrong size, wrong kind of file, no permission.
 */
export type BlockDeviceErrorCode = 'BUSY' | 'FENCED' | 'IO' | 'UNSUITABLE';

export class BlockDeviceError extends MillraceError {
  readonly code: BlockDeviceErrorCode;

  constructor(code: BlockDeviceErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
