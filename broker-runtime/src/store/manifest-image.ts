import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import { CorruptionError, invariant } from '../base/errors.ts';
import { readUvarint, writeUvarint } from '../base/varint.ts';
import type { Image, JournalRecord } from '../wal/journal.ts';
import type { CommittedObject, ObjectRecord } from './manifest.ts';
import { RangeList } from './manifest/range-list.ts';
import { RangeSum } from './manifest/range-sum.ts';
import { decodeRecord, encodeRecord } from './manifest/records.ts';
import type { ManifestRecord } from './manifest/records.ts';
import { readObjects, readStreams, writeObjects, writeStreams } from './manifest/snapshot.ts';
import type { ObjectEntry, StreamEntry } from './manifest/snapshot.ts';
import type { StreamRange } from './stream.ts';

const SNAPSHOT_VERSION = 1;

/**
 * Streams, ranges and objects, folded from the records of the journal. Checks itself while it folds: ranges tile
 * (I5), live + destroyed = ever committed (I26), an object changes state only forward (3.8).
 */
export class ManifestImage implements Image {
  readonly kind = 1;
  nextStreamId = 1;
  nextObjectId = 1;
  /** When the newest dated record since the last snapshot was decided, by the clock of who decided it. */
  decidedAtWallMs: number | undefined;
  readonly streams = new Map<number, StreamEntry>();
  readonly #objects = new Map<number, ObjectEntry>();
  readonly #prepared = new Set<number>();
  readonly #destroyed = new Set<number>();

  record(record: ManifestRecord): JournalRecord {
    return { kind: this.kind, bytes: encodeRecord(record) };
  }

  object(objectId: number): ObjectRecord | undefined {
    const entry = this.#objects.get(objectId);
    return entry === undefined ? undefined : recordOf(objectId, entry);
  }

  /** Every object that has an id, in the order of ids. */
  *objects(): Iterable<ObjectRecord> {
    for (const [objectId, entry] of this.#objects) yield recordOf(objectId, entry);
  }

  /** Leaves out ids that others may have given out, unseen. */
  skipObjectIds(count: number): void {
    this.nextObjectId += count;
  }

  /** Prepared objects whose deadline is at or before `nowWallMs`. */
  expired(nowWallMs: number): readonly number[] {
    return [...this.#prepared].filter((objectId) => this.#entry(objectId).atWallMs <= nowWallMs);
  }

  /** Objects destroyed at or before `beforeWallMs`. */
  destroyed(beforeWallMs: number): readonly ObjectRecord[] {
    const found: ObjectRecord[] = [];
    for (const objectId of this.#destroyed) {
      const entry = this.#entry(objectId);
      if (entry.atWallMs <= beforeWallMs) found.push(recordOf(objectId, entry));
    }
    return found;
  }

  apply(bytes: Uint8Array): void {
    const record = decodeRecord(bytes);
    if ('atWallMs' in record) this.decidedAtWallMs = record.atWallMs;
    switch (record.type) {
      case 'streams-created':
        invariant(record.firstStreamId === this.nextStreamId, 'I5', 'stream ids are never reused', record);
        for (let n = 0; n < record.count; n++) this.#addStream(this.nextStreamId++);
        break;
      case 'streams-deleted':
        for (const streamId of record.streamIds) this.#deleteStream(streamId, record.atWallMs);
        break;
      case 'objects-prepared':
        invariant(record.firstObjectId === this.nextObjectId, 'I23', 'object ids are never reused', record);
        for (let n = 0; n < record.count; n++) {
          const objectId = this.nextObjectId++;
          this.#objects.set(objectId, {
            state: 'prepared',
            sizeBytes: 0,
            atWallMs: record.deadlineWallMs,
            footerCrc32c: undefined,
            liveRanges: 0,
          });
          this.#prepared.add(objectId);
        }
        break;
      case 'objects-committed':
        this.#commit(record.objects, record.atWallMs);
        break;
      case 'ranges-replaced':
        this.#replace(record);
        break;
      case 'stream-trimmed': {
        const stream = this.#stream(record.streamId);
        invariant(record.startOffset >= stream.startOffset, 'I8', 'a stream start never moves back', {
          streamId: record.streamId,
        });
        stream.startOffset = record.startOffset;
        this.#dropTrimmed(record.streamId, stream, record.atWallMs);
        break;
      }
      case 'objects-expired':
        for (const objectId of record.objectIds) {
          invariant(this.#entry(objectId).state === 'prepared', 'I24', 'only prepared objects expire', {
            objectId,
          });
          this.#destroy(objectId, record.atWallMs);
        }
        break;
      case 'objects-removed':
        for (const objectId of record.objectIds) {
          invariant(
            this.#entry(objectId).state === 'destroyed',
            'I24',
            'only destroyed objects are removed',
            {
              objectId,
            },
          );
          this.#objects.delete(objectId);
          this.#destroyed.delete(objectId);
        }
        break;
    }
  }

  clear(): void {
    this.nextStreamId = 1;
    this.nextObjectId = 1;
    this.decidedAtWallMs = undefined;
    this.streams.clear();
    this.#objects.clear();
    this.#prepared.clear();
    this.#destroyed.clear();
  }

  /* Snapshot: version u8, nextStreamId nextObjectId, then streams and objects as `manifest/snapshot.ts` lays them out. */
  writeSnapshot(writer: ByteWriter): void {
    writer.uint8(SNAPSHOT_VERSION);
    writeUvarint(writer, this.nextStreamId);
    writeUvarint(writer, this.nextObjectId);
    writeStreams(writer, this.streams);
    writeObjects(writer, this.#objects);
  }

  readSnapshot(reader: ByteReader): void {
    this.clear();
    const version = reader.uint8();
    if (version !== SNAPSHOT_VERSION) {
      throw new CorruptionError(
        `the manifest's snapshot has version ${version}, this program reads ${SNAPSHOT_VERSION}`,
      );
    }
    this.nextStreamId = readUvarint(reader);
    this.nextObjectId = readUvarint(reader);
    const references = readStreams(reader, (streamId) => this.#addStream(streamId));
    for (const [objectId, entry] of readObjects(reader, references)) {
      this.#objects.set(objectId, entry);
      if (entry.state === 'prepared') this.#prepared.add(objectId);
      if (entry.state === 'destroyed') this.#destroyed.add(objectId);
    }
  }

  #addStream(streamId: number): StreamEntry {
    const stream = {
      startOffset: 0,
      committedOffset: 0,
      ranges: new RangeList(streamId),
      ever: new RangeSum(),
      destroyed: new RangeSum(),
    };
    this.streams.set(streamId, stream);
    return stream;
  }

  #deleteStream(streamId: number, atWallMs: number): void {
    const { ranges } = this.#stream(streamId);
    for (const range of ranges) this.#release(range.objectId, atWallMs);
    this.streams.delete(streamId);
  }

  #commit(objects: readonly CommittedObject[], atWallMs: number): void {
    const touched = new Set<number>();
    for (const object of objects) {
      this.#markCommitted(object);
      for (const { streamId, ...rest } of object.ranges) {
        const stream = this.#stream(streamId);
        invariant(
          rest.startOffset === stream.committedOffset,
          'I5',
          'a committed range begins at the stream’s end',
          {
            streamId,
            startOffset: rest.startOffset,
            committedOffset: stream.committedOffset,
          },
        );
        const range: StreamRange = { ...rest, objectId: object.objectId };
        stream.ranges.push(range);
        stream.ever.add(streamId, range);
        stream.committedOffset = range.endOffset;
        touched.add(streamId);
      }
      if (object.ranges.length === 0) this.#destroy(object.objectId, atWallMs);
    }
    // What was trimmed before it was uploaded.
    for (const streamId of touched) this.#dropTrimmed(streamId, this.#stream(streamId), atWallMs);
  }

  #replace(record: ManifestRecord & { readonly type: 'ranges-replaced' }): void {
    const { streamId, objects } = record;
    const stream = this.#stream(streamId);
    const inserted: StreamRange[] = [];
    for (const object of objects) {
      this.#markCommitted(object);
      for (const range of object.ranges) inserted.push(withoutStream(range, object.objectId));
    }
    for (const old of stream.ranges.replace(record, inserted)) {
      stream.destroyed.add(streamId, old);
      this.#release(old.objectId, record.atWallMs);
    }
    for (const range of inserted) stream.ever.add(streamId, range);
    this.#checkSums(streamId, stream);
  }

  #dropTrimmed(streamId: number, stream: StreamEntry, atWallMs: number): void {
    for (const range of stream.ranges.shiftBelow(stream.startOffset)) {
      stream.destroyed.add(streamId, range);
      this.#release(range.objectId, atWallMs);
    }
    this.#checkSums(streamId, stream);
  }

  #checkSums(streamId: number, stream: StreamEntry): void {
    const isWhole = stream.ranges.live.completes(stream.destroyed, stream.ever);
    invariant(isWhole, 'I26', 'live and destroyed ranges together are all that were ever committed', {
      streamId,
    });
  }

  #markCommitted(object: CommittedObject): void {
    const entry = this.#entry(object.objectId);
    invariant(entry.state === 'prepared', 'I24', 'only prepared objects are committed', {
      objectId: object.objectId,
      state: entry.state,
    });
    entry.state = 'committed';
    entry.sizeBytes = object.sizeBytes;
    entry.atWallMs = 0;
    entry.footerCrc32c = object.footerCrc32c;
    entry.liveRanges = object.ranges.length;
    this.#prepared.delete(object.objectId);
  }

  /** One range less lies in the object. */
  #release(objectId: number, atWallMs: number): void {
    const entry = this.#entry(objectId);
    entry.liveRanges--;
    invariant(
      entry.liveRanges >= 0 && entry.state === 'committed',
      'I24',
      'a released object was referred to',
      {
        objectId,
      },
    );
    if (entry.liveRanges === 0) this.#destroy(objectId, atWallMs);
  }

  #destroy(objectId: number, atWallMs: number): void {
    const entry = this.#entry(objectId);
    entry.state = 'destroyed';
    entry.atWallMs = atWallMs;
    this.#prepared.delete(objectId);
    this.#destroyed.add(objectId);
  }

  #stream(streamId: number): StreamEntry {
    const stream = this.streams.get(streamId);
    invariant(stream !== undefined, 'I5', 'records name existing streams', { streamId });
    return stream;
  }

  #entry(objectId: number): ObjectEntry {
    const entry = this.#objects.get(objectId);
    invariant(entry !== undefined, 'I23', 'records name existing objects', { objectId });
    return entry;
  }
}

function withoutStream(range: StreamRange | Omit<StreamRange, 'objectId'>, objectId: number): StreamRange {
  const { startOffset, endOffset, sizeBytes, maxTimestampMs } = range;
  return { startOffset, endOffset, sizeBytes, maxTimestampMs, objectId };
}

function recordOf(objectId: number, entry: ObjectEntry): ObjectRecord {
  const { state, sizeBytes, atWallMs, footerCrc32c } = entry;
  return { objectId, state, sizeBytes, atWallMs, ...(footerCrc32c === undefined ? {} : { footerCrc32c }) };
}
