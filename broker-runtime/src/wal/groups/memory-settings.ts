import { DEVICE_BLOCK_BYTES } from '../../ports/block-device.ts';
import { WalOptionsError } from '../wal.ts';
import { ENTRY_HEADER_BYTES } from './entry-layout.ts';
import { alignUp } from './slabs.ts';

/** What may be said about the memory of either kind of WAL. */
export interface MemoryOptions {
  /** A group is closed at this size. */
  readonly groupBytes?: number;
  /** The largest entry; it gets a group of its own. Default 2 MiB: twice Kafka's default `message.max.bytes`. */
  readonly maxEntryBytes?: number;
  /** All memory of the WAL and of the tail cache on top of it. Default 64 MiB. */
  readonly memoryBytes?: number;
  /** Default 8 MiB. */
  readonly slabBytes?: number;
}

/** The options with their defaults, and what follows from them. */
export interface MemorySettings {
  readonly groupBytes: number;
  readonly maxEntryBytes: number;
  /** Padding included. */
  readonly maxGroupBytes: number;
  readonly slabBytes: number;
  readonly slabCount: number;
  /** Entries that may be held at once. */
  readonly maxEntries: number;
}

export type SizeCheck = readonly [isGood: boolean, problem: string];

const MIB = 1024 * 1024;
/**
 * Heap that an entry takes while it is held, in WAL, tail cache and upload: measured at 252 bytes. With one entry for
 * each of these bytes of memory, a flood of tiny batches takes no more heap than the WAL takes memory.
 */
const BYTES_PER_HELD_ENTRY = 512;
/** One is carved while another waits to be released. */
const SLABS_MIN = 2;

/** `headBytes` is what the medium puts in front of a group's entries. */
export function memorySettingsOf(
  options: MemoryOptions & { readonly groupBytes: number },
  headBytes: number,
): { readonly settings: MemorySettings; readonly checks: readonly SizeCheck[] } {
  const { groupBytes, maxEntryBytes = 2 * MIB, memoryBytes = 64 * MIB, slabBytes = 8 * MIB } = options;
  const maxGroupBytes = alignUp(Math.max(groupBytes, headBytes + ENTRY_HEADER_BYTES + maxEntryBytes));
  const slabCount = Math.floor(memoryBytes / slabBytes);
  const maxEntries = Math.floor((slabCount * slabBytes) / BYTES_PER_HELD_ENTRY);
  return {
    settings: { groupBytes, maxEntryBytes, maxGroupBytes, slabBytes, slabCount, maxEntries },
    checks: [
      [
        groupBytes >= DEVICE_BLOCK_BYTES,
        `groupBytes is ${groupBytes}, allowed from ${DEVICE_BLOCK_BYTES} on`,
      ],
      [
        slabBytes % DEVICE_BLOCK_BYTES === 0,
        `slabBytes is ${slabBytes}, no multiple of ${DEVICE_BLOCK_BYTES}`,
      ],
      [slabBytes >= maxGroupBytes, `slabBytes is ${slabBytes}, the largest group needs ${maxGroupBytes}`],
      [slabCount >= SLABS_MIN, `memoryBytes is ${memoryBytes}, ${SLABS_MIN} slabs of ${slabBytes} need more`],
    ],
  };
}

/** @throws {WalOptionsError} naming all that does not fit together */
export function checkSizes(...checks: readonly SizeCheck[]): void {
  const problems = checks.flatMap(([isGood, problem]) => (isGood ? [] : [problem]));
  if (problems.length > 0) {
    throw new WalOptionsError(`the sizes of the WAL do not fit together: ${problems.join('; ')}`);
  }
}
