import type { Env } from '../ports/env.ts';
import type { Decision, Journal, JournalRecord } from '../wal/journal.ts';
import type { ManifestImage } from './manifest-image.ts';
import type { StreamEntry } from './manifest/snapshot.ts';
import { ManifestConflictError } from './manifest.ts';
import type { CommittedObject, Manifest, ObjectRecord, StreamRangeRef } from './manifest.ts';
import { UnknownStreamError } from './stream.ts';
import type { StreamRange } from './stream.ts';

/** The manifest whose changes are entries of the journal: checked when they are decided, true when they are committed. */
export class JournalManifest implements Manifest {
  readonly #env: Env;
  readonly #journal: Journal;
  readonly #image: ManifestImage;

  /** `image` must be one of the images of `journal`. */
  constructor(env: Env, journal: Journal, image: ManifestImage) {
    this.#env = env;
    this.#journal = journal;
    this.#image = image;
  }

  createStreams(count: number): {
    readonly streamIds: readonly number[];
    readonly records: readonly JournalRecord[];
  } {
    const firstStreamId = this.#image.nextStreamId;
    return {
      streamIds: Array.from({ length: count }, (_, n) => firstStreamId + n),
      records: count === 0 ? [] : [this.#image.record({ type: 'streams-created', firstStreamId, count })],
    };
  }

  deleteStreams(streamIds: readonly number[]): readonly JournalRecord[] {
    const existing = [...new Set(streamIds)].filter((streamId) => this.hasStream(streamId));
    if (existing.length === 0) return [];
    const atWallMs = this.#env.clock.wallMs();
    return [this.#image.record({ type: 'streams-deleted', atWallMs, streamIds: existing })];
  }

  streamIds(): Iterable<number> {
    return this.#image.streams.keys();
  }

  hasStream(streamId: number): boolean {
    return this.#image.streams.has(streamId);
  }

  isCreated(streamId: number): boolean {
    return this.hasStream(streamId) && this.#image.isCreated(streamId, this.#journal.committedSequence);
  }

  startOffset(streamId: number): number {
    return this.#stream(streamId).startOffset;
  }

  committedOffset(streamId: number): number {
    return this.#stream(streamId).committedOffset;
  }

  ranges(streamId: number): readonly StreamRange[] {
    const { ranges } = this.#stream(streamId);
    return Array.from({ length: ranges.length }, (_, index) => ranges.at(index));
  }

  rangeAt(streamId: number, offset: number): StreamRange | undefined {
    const { ranges } = this.#stream(streamId);
    const index = ranges.firstEndingAbove(offset);
    return index < ranges.length ? ranges.at(index) : undefined;
  }

  object(objectId: number): ObjectRecord | undefined {
    return this.#image.object(objectId);
  }

  prepareObjects(count: number, deadlineWallMs: number): Promise<readonly number[]> {
    return this.#journal.commit(() => {
      const firstObjectId = this.#image.nextObjectId;
      return {
        records: [this.#image.record({ type: 'objects-prepared', firstObjectId, count, deadlineWallMs })],
        result: Array.from({ length: count }, (_, n) => firstObjectId + n),
      };
    });
  }

  commitObjects(objects: readonly CommittedObject[]): Promise<void> {
    return this.#journal.commit(() => this.#decideCommit(objects));
  }

  replaceRanges(objects: readonly CommittedObject[], replaced: readonly StreamRangeRef[]): Promise<void> {
    return this.#journal.commit(() => this.#decideReplace(objects, replaced));
  }

  trimStream(streamId: number, newStartOffset: number): Promise<void> {
    return this.#journal.commit(() => {
      if (newStartOffset <= this.#stream(streamId).startOffset) return nothing();
      const atWallMs = this.#env.clock.wallMs();
      return only(
        this.#image.record({ type: 'stream-trimmed', atWallMs, streamId, startOffset: newStartOffset }),
      );
    });
  }

  destroyedObjects(beforeWallMs: number): readonly ObjectRecord[] {
    return this.#image.destroyed(beforeWallMs, this.#journal.committedSequence);
  }

  async expirePrepared(nowWallMs: number): Promise<void> {
    if (this.#image.expired(nowWallMs).length === 0) return;
    await this.#journal.commit(() => {
      const objectIds = this.#image.expired(nowWallMs);
      if (objectIds.length === 0) return nothing();
      return only(this.#image.record({ type: 'objects-expired', atWallMs: nowWallMs, objectIds }));
    });
  }

  async removeObjects(objectIds: readonly number[]): Promise<void> {
    await this.#journal.commit(() => {
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
        : only(this.#image.record({ type: 'objects-removed', objectIds: known }));
    });
  }

  #decideCommit(objects: readonly CommittedObject[]): Decision<void> {
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
    const atWallMs = this.#env.clock.wallMs();
    return only(this.#image.record({ type: 'objects-committed', atWallMs, objects: accepted }));
  }

  #decideReplace(objects: readonly CommittedObject[], replaced: readonly StreamRangeRef[]): Decision<void> {
    const first = replaced[0];
    const last = replaced.at(-1);
    if (first === undefined || last === undefined)
      throw new ManifestConflictError('no ranges to replace were named');
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
    const atWallMs = this.#env.clock.wallMs();
    return only(
      this.#image.record({ type: 'ranges-replaced', atWallMs, streamId, startOffset, endOffset, objects }),
    );
  }

  /** The named ranges stand in the stream exactly so, one after the other. */
  #checkReplaced(streamId: number, replaced: readonly StreamRangeRef[]): void {
    const ranges = this.#image.streams.get(streamId)?.ranges;
    const first = ranges?.firstEndingAbove(replaced[0]?.startOffset ?? 0) ?? 0;
    for (const [n, ref] of replaced.entries()) {
      const range = ranges !== undefined && first + n < ranges.length ? ranges.at(first + n) : undefined;
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

  #stream(streamId: number): StreamEntry {
    const stream = this.#image.streams.get(streamId);
    if (stream === undefined)
      throw new UnknownStreamError(`there is no stream ${streamId}; it was deleted or never created`);
    return stream;
  }
}

function only(record: JournalRecord): Decision<void> {
  return { records: [record], result: undefined };
}

function nothing(): Decision<void> {
  return { records: [], result: undefined };
}
