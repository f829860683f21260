import { ByteReader, ByteWriter } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';
import { CorruptionError } from '../base/errors.ts';
import { LeaderEpochs } from './leader-epochs.ts';
import { ProducerState } from './producer-state.ts';

/** How far the cleaner came. */
export interface CleanerCheckpoint {
  /** Below it every key was compared with everything up to it. */
  firstDirtyOffset: number;
  /** When the first tombstone that is still kept may go; undefined while there is none. */
  nextDeleteHorizonMs: number | undefined;
}

/** What a partition knows beyond its batches. Everything here but the cleaner's part can be rebuilt from the batches. */
export interface PartitionState {
  readonly producers: ProducerState;
  readonly epochs: LeaderEpochs;
  readonly cleaner: CleanerCheckpoint;
}

export function emptyState(): PartitionState {
  return {
    producers: new ProducerState(),
    epochs: new LeaderEpochs(),
    cleaner: { firstDirtyOffset: 0, nextDeleteHorizonMs: undefined },
  };
}

const MAGIC = 0x4d_52_50_53; // "MRPS"
const VERSION = 1;
const CHECKSUM_AT = 5;
const BODY_AT = 9;

// One snapshot is one entry of the partition's state stream:
//   magic (4) "MRPS" · version (1) · CRC32C of all that follows (4)
//   end offset (8): state after all batches below it · first dirty offset (8) · next delete horizon (8), -1: none
//   leader epochs · producers
export function encodeSnapshot(state: PartitionState, endOffset: number): Uint8Array {
  const writer = new ByteWriter(1024);
  writer.uint32(MAGIC);
  writer.uint8(VERSION);
  writer.uint32(0);
  writer.safeInt64(endOffset);
  writer.safeInt64(state.cleaner.firstDirtyOffset);
  writer.safeInt64(state.cleaner.nextDeleteHorizonMs ?? -1);
  state.epochs.write(writer);
  state.producers.write(writer);
  writer.patchUint32(CHECKSUM_AT, crc32c(writer.finish().subarray(BODY_AT)));
  return writer.finish();
}

/** @throws {CorruptionError} when this is not a whole snapshot of a version we know */
export function decodeSnapshot(bytes: Uint8Array): {
  readonly state: PartitionState;
  readonly endOffset: number;
} {
  if (bytes.length < BODY_AT) throw new CorruptionError(`a snapshot of ${bytes.length} bytes is too short`);
  const reader = new ByteReader(bytes);
  const magic = reader.uint32();
  const version = reader.uint8();
  if (magic !== MAGIC || version !== VERSION) {
    throw new CorruptionError(
      `a partition snapshot has magic ${magic.toString(16)} and version ${version}, ` +
        `expected ${MAGIC.toString(16)} and ${VERSION}`,
    );
  }
  if (reader.uint32() !== crc32c(bytes.subarray(BODY_AT))) {
    throw new CorruptionError('the checksum of a partition snapshot does not match its bytes');
  }
  const endOffset = reader.safeInt64();
  const firstDirtyOffset = reader.safeInt64();
  const nextDeleteHorizonMs = reader.safeInt64();
  const state: PartitionState = {
    ...emptyState(),
    cleaner: {
      firstDirtyOffset,
      nextDeleteHorizonMs: nextDeleteHorizonMs < 0 ? undefined : nextDeleteHorizonMs,
    },
  };
  state.epochs.read(reader);
  state.producers.read(reader);
  return { state, endOffset };
}
