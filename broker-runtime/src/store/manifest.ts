import { MillraceError } from '../base/errors.ts';
import type { StreamRange } from './stream.ts';

/**
 * What is true about streams and objects: which streams exist, where each begins, which object holds which of
 * their ranges, and which objects may be deleted. Only what is committed.
 */
export interface ManifestView {
  streamIds(): Iterable<number>;
  hasStream(streamId: number): boolean;
  /** First readable offset. @throws {UnknownStreamError} as all that ask about one stream */
  startOffset(streamId: number): number;
  /** One past the last offset in committed objects. */
  committedOffset(streamId: number): number;
  /** All ranges in order, copied: for those who walk them. */
  ranges(streamId: number): readonly StreamRange[];
  /** The range that holds `offset`, else the first one after it; found in logarithmic time. */
  rangeAt(streamId: number, offset: number): StreamRange | undefined;
  object(objectId: number): ObjectRecord | undefined;
  /** Objects whose bytes nobody may need any more, destroyed at or before the given moment by a committed entry. */
  destroyedObjects(beforeWallMs: number): readonly ObjectRecord[];
  /** Prepared objects whose deadline is at or before the given moment. */
  expiredObjects(nowWallMs: number): readonly number[];
}

/**
 * How the store changes it; the life of an object is PREPARED → COMMITTED → DESTROYED → REMOVED (protocol 3.8) and
 * deletion acts on state only. Each change may be repeated when its answer was lost: what is done already is a
 * success that changes nothing (only ids prepared in vain expire).
 */
export interface ManifestChanges {
  /** Reserves ids for objects about to be uploaded. An object not committed by the deadline is destroyed. */
  prepareObjects(count: number, deadlineWallMs: number): Promise<readonly number[]>;

  /**
   * Makes objects part of their streams. Refused (nothing changes) unless each is PREPARED and each range begins
   * where its stream's committed ranges end (I5). Committing the same object again is a success that changes nothing.
   * Ranges of streams that were deleted meanwhile are left out.
   * @throws {ManifestConflictError} (rejects)
   */
  commitObjects(objects: readonly CommittedObject[]): Promise<void>;

  /**
   * Swaps ranges of one stream that exactly tile the new ones; see `Stream.replace`.
   * @throws {ManifestConflictError} (rejects) also when trim or deletion was quicker
   */
  replaceRanges(objects: readonly CommittedObject[], replaced: readonly StreamRangeRef[]): Promise<void>;

  /** @throws {UnknownStreamError} (rejects) */
  trimStream(streamId: number, newStartOffset: number): Promise<void>;

  /** Marks prepared objects whose deadline passed as destroyed. */
  expirePrepared(nowWallMs: number): Promise<void>;
  /** The bytes of these DESTROYED objects were deleted. */
  removeObjects(objectIds: readonly number[]): Promise<void>;
}

export interface Manifest extends ManifestView, ManifestChanges {}

export type ObjectState = 'prepared' | 'committed' | 'destroyed';

export interface ObjectRecord {
  readonly objectId: number;
  readonly state: ObjectState;
  readonly sizeBytes: number;
  /** Wall clock: deadline while prepared, moment of destruction while destroyed. */
  readonly atWallMs: number;
  /** As given at the commit. */
  readonly footerCrc32c?: number;
}

export interface CommittedObject {
  readonly objectId: number;
  readonly sizeBytes: number;
  /** CRC32C of the object's footer, if the writer has it: with the size what a scrub compares (I23). */
  readonly footerCrc32c?: number;
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

/** A change does not fit the state of streams and objects any more; nothing was changed. */
export class ManifestConflictError extends MillraceError {
  readonly code = 'MANIFEST_CONFLICT';
}
