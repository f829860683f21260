import type { JournalRecord } from '../wal/journal.ts';
import type { StreamRange } from './stream.ts';

/**
 * What is true about streams and objects: which streams exist, where each begins, which object holds which of
 * their ranges, and which objects may be deleted. The store commits through this interface; the life of an object
 * is PREPARED → COMMITTED → DESTROYED → REMOVED (protocol 3.8) and deletion acts on state only.
 */
export interface Manifest {
  /** The records that create `count` streams from the next free id on; committed by the caller with its own records. */
  createStreams(count: number): {
    readonly streamIds: readonly number[];
    readonly records: readonly JournalRecord[];
  };
  /** The records that delete streams: their ranges are dropped, objects nobody refers to become DESTROYED. */
  deleteStreams(streamIds: readonly number[]): readonly JournalRecord[];

  streamIds(): Iterable<number>;
  hasStream(streamId: number): boolean;
  /** First readable offset. */
  startOffset(streamId: number): number;
  /** One past the last offset in committed objects. */
  committedOffset(streamId: number): number;
  ranges(streamId: number): readonly StreamRange[];
  object(objectId: number): ObjectRecord | undefined;

  /** Reserves ids for objects about to be uploaded. An object not committed by the deadline is destroyed. */
  prepareObjects(count: number, deadlineWallMs: number): Promise<readonly number[]>;

  /**
   * Makes objects part of their streams. Refused (nothing changes) unless each is PREPARED and each range begins
   * where its stream's committed ranges end (I5). Committing the same object again is a success that changes nothing.
   */
  commitObjects(objects: readonly CommittedObject[]): Promise<void>;

  /** Swaps ranges of one stream that exactly tile the new ones; see `Stream.replace`. */
  replaceRanges(objects: readonly CommittedObject[], replaced: readonly StreamRangeRef[]): Promise<void>;

  trimStream(streamId: number, newStartOffset: number): Promise<void>;

  /** Objects whose bytes nobody may need any more, destroyed at or before the given moment. */
  destroyedObjects(beforeWallMs: number): readonly ObjectRecord[];
  /** Marks prepared objects whose deadline passed as destroyed. */
  expirePrepared(nowWallMs: number): Promise<void>;
  /** The bytes of these DESTROYED objects were deleted. */
  removeObjects(objectIds: readonly number[]): Promise<void>;
}

export type ObjectState = 'prepared' | 'committed' | 'destroyed';

export interface ObjectRecord {
  readonly objectId: number;
  readonly state: ObjectState;
  readonly sizeBytes: number;
  /** Wall clock: deadline while prepared, moment of destruction while destroyed. */
  readonly atWallMs: number;
}

export interface CommittedObject {
  readonly objectId: number;
  readonly sizeBytes: number;
  readonly ranges: readonly CommittedRange[];
}

export interface CommittedRange extends Omit<StreamRange, 'objectId'> {
  readonly streamId: number;
}

export interface StreamRangeRef {
  readonly streamId: number;
  readonly startOffset: number;
  readonly endOffset: number;
  readonly objectId: number;
}
