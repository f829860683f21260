import type { ByteReader, ByteWriter } from '../../base/bytes.ts';
import { invariant } from '../../base/errors.ts';
import { readUvarint, writeUvarint } from '../../base/varint.ts';
import type { ObjectState } from '../manifest.ts';
import type { RangeList } from './range-list.ts';
import type { RangeSum } from './range-sum.ts';
import { readFooterChecksum, writeFooterChecksum } from './records.ts';

const STATES: readonly ObjectState[] = ['prepared', 'committed', 'destroyed'];

export interface StreamEntry {
  startOffset: number;
  /** One past the last offset that ever was in a committed object. */
  committedOffset: number;
  readonly ranges: RangeList;
  readonly ever: RangeSum;
  readonly destroyed: RangeSum;
}

export interface ObjectEntry {
  state: ObjectState;
  sizeBytes: number;
  atWallMs: number;
  footerCrc32c: number | undefined;
  /** Ranges of live streams that lie in this object; at zero nobody needs its bytes. */
  liveRanges: number;
}

/*
 * Streams and objects in a snapshot; uvarints unless said otherwise.
 *
 *   streams  count, then for each in ascending order of ids:
 *            streamId startOffset committedOffset, four u32: sum ever committed (high, low), sum destroyed (high, low),
 *            ranges as `RangeList.writeTo` lays them out
 *   objects  count, then for each in ascending order of ids: objectId state(u8) sizeBytes atWallMs footer
 */
export function writeStreams(writer: ByteWriter, streams: ReadonlyMap<number, StreamEntry>): void {
  writeUvarint(writer, streams.size);
  let lastId = 0;
  for (const [streamId, stream] of streams) {
    // Ids are given out in ascending order and a map keeps the order of insertion, so no sorting is needed (I20).
    invariant(streamId > lastId, 'I20', 'streams are written in the order of their ids', { streamId });
    lastId = streamId;
    writeStream(writer, streamId, stream);
  }
}

/** Fills the streams that `add` creates. Returns how many ranges lie in each object. */
export function readStreams(
  reader: ByteReader,
  add: (streamId: number) => StreamEntry,
): ReadonlyMap<number, number> {
  const references = new Map<number, number>();
  for (let left = readUvarint(reader); left > 0; left--) {
    const streamId = readUvarint(reader);
    readStream(reader, add(streamId), streamId, references);
  }
  return references;
}

export function writeObjects(writer: ByteWriter, objects: ReadonlyMap<number, ObjectEntry>): void {
  writeUvarint(writer, objects.size);
  let lastId = 0;
  for (const [objectId, entry] of objects) {
    invariant(objectId > lastId, 'I20', 'objects are written in the order of their ids', { objectId });
    lastId = objectId;
    writeUvarint(writer, objectId);
    writer.uint8(STATES.indexOf(entry.state));
    writeUvarint(writer, entry.sizeBytes);
    writeUvarint(writer, entry.atWallMs);
    writeFooterChecksum(writer, entry.footerCrc32c);
  }
}

export function* readObjects(
  reader: ByteReader,
  references: ReadonlyMap<number, number>,
): Iterable<readonly [number, ObjectEntry]> {
  let named = 0;
  for (let left = readUvarint(reader); left > 0; left--) {
    const objectId = readUvarint(reader);
    const state = STATES[reader.uint8()];
    invariant(state !== undefined, 'I20', 'an object in a snapshot has a known state', { objectId });
    const liveRanges = references.get(objectId) ?? 0;
    invariant(liveRanges > 0 === (state === 'committed'), 'I24', 'committed objects are the named ones', {
      objectId,
      state,
    });
    if (liveRanges > 0) named++;
    const sizeBytes = readUvarint(reader);
    const atWallMs = readUvarint(reader);
    const footerCrc32c = readFooterChecksum(reader);
    yield [objectId, { state, sizeBytes, atWallMs, footerCrc32c, liveRanges }];
  }
  invariant(named === references.size, 'I23', 'every object that a range names is known', {
    named: references.size,
    known: named,
  });
}

function writeStream(writer: ByteWriter, streamId: number, stream: StreamEntry): void {
  writeUvarint(writer, streamId);
  writeUvarint(writer, stream.startOffset);
  writeUvarint(writer, stream.committedOffset);
  for (const sum of [stream.ever, stream.destroyed]) {
    writer.uint32(sum.high);
    writer.uint32(sum.low);
  }
  stream.ranges.writeTo(writer);
}

function readStream(
  reader: ByteReader,
  stream: StreamEntry,
  streamId: number,
  references: Map<number, number>,
): void {
  stream.startOffset = readUvarint(reader);
  stream.committedOffset = readUvarint(reader);
  for (const sum of [stream.ever, stream.destroyed]) {
    sum.high = reader.uint32();
    sum.low = reader.uint32();
  }
  const { ranges } = stream;
  ranges.readFrom(reader);
  let endOffset = stream.committedOffset;
  for (const range of ranges) {
    references.set(range.objectId, (references.get(range.objectId) ?? 0) + 1);
    endOffset = range.endOffset;
  }
  const isWhole = ranges.live.completes(stream.destroyed, stream.ever);
  invariant(isWhole, 'I26', 'the ranges in a snapshot are those its sums tell of', { streamId });
  invariant(endOffset === stream.committedOffset, 'I5', 'the last range ends at the stream’s end', {
    streamId,
  });
}
