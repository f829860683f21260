import type { Env } from '../ports/env.ts';
import type { Decision, JournalRecord } from '../wal/journal.ts';
import { ImageManifest } from './image-manifest.ts';
import type { ManifestImage } from './manifest-image.ts';
import { ManifestConflictError } from './manifest.ts';
import type { CommittedObject, StreamRangeRef } from './manifest.ts';

/**
 * Decides about streams and objects: each method is run inside a decision of the journal, on its own image, which
 * stands still meanwhile. What it returns is true when the entry with its records is committed.
 */
export class ManifestDecisions extends ImageManifest {
  readonly #env: Env;

  /** `image` must be one of the images of the journal. */
  constructor(env: Env, image: ManifestImage) {
    super(image);
    this.#env = env;
  }

  /**
   * Creates `count` streams from the next free id on. Once in a decision: two calls would give out the same ids.
   */
  createStreams(count: number): Decision<readonly number[]> {
    const firstStreamId = this.image.nextStreamId;
    return {
      records: count === 0 ? [] : [this.image.record({ type: 'streams-created', firstStreamId, count })],
      result: Array.from({ length: count }, (_, n) => firstStreamId + n),
    };
  }

  /** Their ranges are dropped, objects nobody refers to become DESTROYED. */
  deleteStreams(streamIds: readonly number[]): Decision<void> {
    const existing = [...new Set(streamIds)].filter((streamId) => this.hasStream(streamId));
    if (existing.length === 0) return nothing();
    return only(
      this.image.record({ type: 'streams-deleted', atWallMs: this.#wallMs(), streamIds: existing }),
    );
  }

  /** See {@link ManifestChanges.prepareObjects}. */
  prepareObjects(count: number, deadlineWallMs: number): Decision<readonly number[]> {
    const firstObjectId = this.image.nextObjectId;
    return {
      records: [this.image.record({ type: 'objects-prepared', firstObjectId, count, deadlineWallMs })],
      result: Array.from({ length: count }, (_, n) => firstObjectId + n),
    };
  }

  /** See {@link ManifestChanges.trimStream}. */
  trimStream(streamId: number, startOffset: number): Decision<void> {
    if (startOffset <= this.startOffset(streamId)) return nothing();
    const atWallMs = this.#wallMs();
    return only(this.image.record({ type: 'stream-trimmed', atWallMs, streamId, startOffset }));
  }

  /** See {@link ManifestChanges.expirePrepared}. */
  expirePrepared(nowWallMs: number): Decision<void> {
    const objectIds = this.expiredObjects(nowWallMs);
    if (objectIds.length === 0) return nothing();
    return only(this.image.record({ type: 'objects-expired', atWallMs: nowWallMs, objectIds }));
  }

  /** See {@link ManifestChanges.removeObjects}. */
  removeObjects(objectIds: readonly number[]): Decision<void> {
    // One that is gone already was removed by an earlier try.
    const known = [...new Set(objectIds)].filter((objectId) => this.object(objectId) !== undefined);
    for (const objectId of known) {
      const state = this.object(objectId)?.state;
      if (state !== 'destroyed') {
        throw new ManifestConflictError(
          `object ${objectId} is ${state ?? 'unknown'}, only destroyed ones are removed`,
        );
      }
    }
    return known.length === 0
      ? nothing()
      : only(this.image.record({ type: 'objects-removed', objectIds: known }));
  }

  /** See {@link ManifestChanges.commitObjects}. */
  commitObjects(objects: readonly CommittedObject[]): Decision<void> {
    const ends = new Map<number, number>();
    const accepted: CommittedObject[] = [];
    for (const object of objects) {
      const state = this.object(object.objectId)?.state;
      if (state === 'committed') continue;
      this.#checkPrepared(object.objectId);
      const ranges = object.ranges.filter((range) => this.hasStream(range.streamId));
      for (const range of ranges) {
        const end = ends.get(range.streamId) ?? this.committedOffset(range.streamId);
        if (range.startOffset !== end || range.endOffset <= range.startOffset) {
          throw new ManifestConflictError(
            `object ${object.objectId} brings [${range.startOffset}, ${range.endOffset}) of stream ${range.streamId}, ` +
              `whose committed ranges end at ${end}`,
          );
        }
        ends.set(range.streamId, range.endOffset);
      }
      accepted.push({ ...object, ranges });
    }
    if (accepted.length === 0) return nothing();
    const record = { type: 'objects-committed', atWallMs: this.#wallMs(), objects: accepted } as const;
    return only(this.image.record(record));
  }

  /** See {@link ManifestChanges.replaceRanges}. */
  replaceRanges(objects: readonly CommittedObject[], replaced: readonly StreamRangeRef[]): Decision<void> {
    const first = replaced[0];
    const last = replaced.at(-1);
    if (first === undefined || last === undefined)
      throw new ManifestConflictError('no ranges to replace were named');
    // The answer to an earlier try was lost: ids are prepared for one use only.
    const isDone = ({ objectId }: CommittedObject): boolean => this.object(objectId)?.state === 'committed';
    if (objects.length > 0 && objects.every(isDone)) return nothing();
    const { streamId, startOffset } = first;
    const { endOffset } = last;
    this.#checkReplaced(streamId, replaced);
    let end = startOffset;
    for (const object of objects) {
      this.#checkPrepared(object.objectId);
      for (const range of object.ranges) {
        if (
          range.streamId !== streamId ||
          range.startOffset !== end ||
          range.endOffset <= range.startOffset
        ) {
          throw new ManifestConflictError(
            `object ${object.objectId} brings [${range.startOffset}, ${range.endOffset}) of stream ${range.streamId}; ` +
              `a range of stream ${streamId} from ${end} on is needed`,
          );
        }
        end = range.endOffset;
      }
    }
    if (end !== endOffset) {
      throw new ManifestConflictError(
        `the new ranges of stream ${streamId} end at ${end}, the replaced ones at ${endOffset}`,
      );
    }
    const atWallMs = this.#wallMs();
    return only(
      this.image.record({ type: 'ranges-replaced', atWallMs, streamId, startOffset, endOffset, objects }),
    );
  }

  /** The named ranges stand in the stream exactly so, one after the other. */
  #checkReplaced(streamId: number, replaced: readonly StreamRangeRef[]): void {
    const ranges = this.image.streams.get(streamId)?.ranges;
    const standing = ranges?.from(replaced[0]?.startOffset ?? 0);
    for (const ref of replaced) {
      const range = standing?.next().value;
      if (
        range === undefined ||
        ref.streamId !== streamId ||
        range.startOffset !== ref.startOffset ||
        range.endOffset !== ref.endOffset ||
        range.objectId !== ref.objectId
      ) {
        throw new ManifestConflictError(
          `stream ${ref.streamId} has no range [${ref.startOffset}, ${ref.endOffset}) in object ${ref.objectId} any more`,
        );
      }
    }
  }

  #checkPrepared(objectId: number): void {
    const state = this.object(objectId)?.state;
    if (state === 'prepared') return;
    throw new ManifestConflictError(
      `object ${objectId} is ${state ?? 'unknown'} and cannot be committed: its deadline has passed; upload again under a new id`,
    );
  }

  #wallMs(): number {
    return this.#env.clock.wallMs();
  }
}

function only(record: JournalRecord): Decision<void> {
  return { records: [record], result: undefined };
}

function nothing(): Decision<void> {
  return { records: [], result: undefined };
}
