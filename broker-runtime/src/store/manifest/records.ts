import { ByteReader, ByteWriter } from '../../base/bytes.ts';
import { CorruptionError } from '../../base/errors.ts';
import { readUvarint, writeUvarint } from '../../base/varint.ts';
import type { CommittedObject, CommittedRange } from '../manifest.ts';

/** Timestamps come from clients and may be anything; retention needs no more than this. */
const MAX_TIMESTAMP_MS = Number.MAX_SAFE_INTEGER - 1;

/** What happens to streams and objects. `atWallMs` is the moment of the decision, so folding is deterministic. */
export type ManifestRecord =
  | { readonly type: 'streams-created'; readonly firstStreamId: number; readonly count: number }
  | { readonly type: 'streams-deleted'; readonly atWallMs: number; readonly streamIds: readonly number[] }
  | {
      readonly type: 'objects-prepared';
      readonly firstObjectId: number;
      readonly count: number;
      readonly deadlineWallMs: number;
    }
  | {
      readonly type: 'objects-committed';
      readonly atWallMs: number;
      readonly objects: readonly CommittedObject[];
    }
  | {
      readonly type: 'ranges-replaced';
      readonly atWallMs: number;
      readonly streamId: number;
      readonly startOffset: number;
      readonly endOffset: number;
      readonly objects: readonly CommittedObject[];
    }
  | {
      readonly type: 'stream-trimmed';
      readonly atWallMs: number;
      readonly streamId: number;
      readonly startOffset: number;
    }
  | { readonly type: 'objects-expired'; readonly atWallMs: number; readonly objectIds: readonly number[] }
  | { readonly type: 'objects-removed'; readonly objectIds: readonly number[] };

/** First byte of a record. Numbers are never reused; a change of a layout gets a new number. */
const TYPES = {
  'streams-created': 1,
  'streams-deleted': 2,
  'objects-prepared': 3,
  'objects-committed': 4,
  'ranges-replaced': 5,
  'stream-trimmed': 6,
  'objects-expired': 7,
  'objects-removed': 8,
} as const satisfies Record<ManifestRecord['type'], number>;

/*
 * A record is its type (u8) and the fields below, all uvarints unless said otherwise:
 *
 *   1 streams-created    firstStreamId count
 *   2 streams-deleted    atWallMs ids
 *   3 objects-prepared   firstObjectId count deadlineWallMs
 *   4 objects-committed  atWallMs objects
 *   5 ranges-replaced    atWallMs streamId startOffset length objects
 *   6 stream-trimmed     atWallMs streamId startOffset
 *   7 objects-expired    atWallMs ids
 *   8 objects-removed    ids
 *
 *   ids      count, then count times the id
 *   objects  count, then count times: objectId sizeBytes footer count ranges
 *   footer   u8 0, or u8 1 and the CRC32C as u32
 *   range    streamId startOffset length sizeBytes maxTimestampMs+1
 */
export function encodeRecord(record: ManifestRecord): Uint8Array {
  const writer = new ByteWriter(64);
  writer.uint8(TYPES[record.type]);
  switch (record.type) {
    case 'streams-created':
      writeUvarint(writer, record.firstStreamId);
      writeUvarint(writer, record.count);
      break;
    case 'objects-prepared':
      writeUvarint(writer, record.firstObjectId);
      writeUvarint(writer, record.count);
      writeUvarint(writer, record.deadlineWallMs);
      break;
    case 'streams-deleted':
      writeUvarint(writer, record.atWallMs);
      writeIds(writer, record.streamIds);
      break;
    case 'objects-committed':
      writeUvarint(writer, record.atWallMs);
      writeObjects(writer, record.objects);
      break;
    case 'ranges-replaced':
      writeUvarint(writer, record.atWallMs);
      writeUvarint(writer, record.streamId);
      writeUvarint(writer, record.startOffset);
      writeUvarint(writer, record.endOffset - record.startOffset);
      writeObjects(writer, record.objects);
      break;
    case 'stream-trimmed':
      writeUvarint(writer, record.atWallMs);
      writeUvarint(writer, record.streamId);
      writeUvarint(writer, record.startOffset);
      break;
    case 'objects-expired':
      writeUvarint(writer, record.atWallMs);
      writeIds(writer, record.objectIds);
      break;
    case 'objects-removed':
      writeIds(writer, record.objectIds);
      break;
  }
  return writer.finish();
}

/** @throws {CorruptionError} for a type that this program does not know: a reader stops, it never skips (T23) */
export function decodeRecord(bytes: Uint8Array): ManifestRecord {
  const reader = new ByteReader(bytes);
  const record = decodeFields(reader.uint8(), reader);
  if (reader.remaining > 0) {
    throw new CorruptionError(
      `a manifest record of type ${record.type} has ${reader.remaining} bytes too many`,
    );
  }
  return record;
}

function decodeFields(type: number, reader: ByteReader): ManifestRecord {
  const next = (): number => readUvarint(reader);
  switch (type) {
    case TYPES['streams-created']:
      return { type: 'streams-created', firstStreamId: next(), count: next() };
    case TYPES['streams-deleted']:
      return { type: 'streams-deleted', atWallMs: next(), streamIds: readIds(reader) };
    case TYPES['objects-prepared']:
      return { type: 'objects-prepared', firstObjectId: next(), count: next(), deadlineWallMs: next() };
    case TYPES['objects-committed']:
      return { type: 'objects-committed', atWallMs: next(), objects: readObjects(reader) };
    case TYPES['ranges-replaced']: {
      const atWallMs = next();
      const streamId = next();
      const startOffset = next();
      const endOffset = startOffset + next();
      return {
        type: 'ranges-replaced',
        atWallMs,
        streamId,
        startOffset,
        endOffset,
        objects: readObjects(reader),
      };
    }
    case TYPES['stream-trimmed']:
      return { type: 'stream-trimmed', atWallMs: next(), streamId: next(), startOffset: next() };
    case TYPES['objects-expired']:
      return { type: 'objects-expired', atWallMs: next(), objectIds: readIds(reader) };
    case TYPES['objects-removed']:
      return { type: 'objects-removed', objectIds: readIds(reader) };
    default:
      throw new CorruptionError(
        `the manifest has no record of type ${type}: it was written by a newer release; start a release that knows it`,
      );
  }
}

function writeIds(writer: ByteWriter, ids: readonly number[]): void {
  writeUvarint(writer, ids.length);
  for (const id of ids) writeUvarint(writer, id);
}

function readIds(reader: ByteReader): readonly number[] {
  const ids: number[] = [];
  for (let left = readUvarint(reader); left > 0; left--) ids.push(readUvarint(reader));
  return ids;
}

function writeObjects(writer: ByteWriter, objects: readonly CommittedObject[]): void {
  writeUvarint(writer, objects.length);
  for (const object of objects) {
    writeUvarint(writer, object.objectId);
    writeUvarint(writer, object.sizeBytes);
    writeFooterChecksum(writer, object.footerCrc32c);
    writeUvarint(writer, object.ranges.length);
    for (const range of object.ranges) {
      writeUvarint(writer, range.streamId);
      writeUvarint(writer, range.startOffset);
      writeUvarint(writer, range.endOffset - range.startOffset);
      writeUvarint(writer, range.sizeBytes);
      writeUvarint(writer, storedTimestamp(range.maxTimestampMs) + 1);
    }
  }
}

function readObjects(reader: ByteReader): readonly CommittedObject[] {
  const objects: CommittedObject[] = [];
  for (let left = readUvarint(reader); left > 0; left--) {
    const objectId = readUvarint(reader);
    const sizeBytes = readUvarint(reader);
    const footerCrc32c = readFooterChecksum(reader);
    const ranges: CommittedRange[] = [];
    for (let rangesLeft = readUvarint(reader); rangesLeft > 0; rangesLeft--) {
      const streamId = readUvarint(reader);
      const startOffset = readUvarint(reader);
      ranges.push({
        streamId,
        startOffset,
        endOffset: startOffset + readUvarint(reader),
        sizeBytes: readUvarint(reader),
        maxTimestampMs: readUvarint(reader) - 1,
      });
    }
    objects.push({ objectId, sizeBytes, ranges, ...(footerCrc32c === undefined ? {} : { footerCrc32c }) });
  }
  return objects;
}

export function writeFooterChecksum(writer: ByteWriter, checksum: number | undefined): void {
  writer.uint8(checksum === undefined ? 0 : 1);
  if (checksum !== undefined) writer.uint32(checksum);
}

export function readFooterChecksum(reader: ByteReader): number | undefined {
  return reader.uint8() === 0 ? undefined : reader.uint32();
}

function storedTimestamp(timestampMs: number): number {
  return Math.trunc(Math.min(MAX_TIMESTAMP_MS, Math.max(-1, timestampMs)));
}
