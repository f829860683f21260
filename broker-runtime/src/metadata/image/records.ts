import { ByteReader, ByteWriter } from '../../base/bytes.ts';
import { CorruptionError } from '../../base/errors.ts';
import { readText, readUvarint, writeText, writeUvarint } from '../../base/varint.ts';

/** What happens to topics, settings, brokers and producer ids. */
export type MetadataRecord =
  | {
      readonly type: 'topic-created';
      readonly topicId: string;
      readonly name: string;
      readonly internal: boolean;
      readonly partitions: NewPartitions;
    }
  | {
      readonly type: 'partitions-added';
      readonly topicId: string;
      readonly partitions: NewPartitions;
    }
  | { readonly type: 'topic-deleted'; readonly topicId: string }
  | {
      readonly type: 'topic-configured';
      readonly topicId: string;
      readonly settings: ReadonlyMap<string, string>;
    }
  | {
      readonly type: 'broker-configured';
      /** Undefined: all brokers. */
      readonly nodeId: number | undefined;
      readonly settings: ReadonlyMap<string, string>;
    }
  | {
      readonly type: 'broker-registered';
      readonly nodeId: number;
      readonly incarnationId: string;
      readonly walKind: string;
    }
  | { readonly type: 'producer-ids-allocated'; readonly nextProducerId: number };

/** Partitions that begin together: two streams each, data then state, in the order of ids, the first leader of each. */
export interface NewPartitions {
  readonly firstStreamId: number;
  readonly leaderIds: readonly number[];
}

/** First byte of a record. Numbers are never reused; a change of a layout gets a new number. */
const TYPES = {
  'topic-created': 1,
  'partitions-added': 2,
  'topic-deleted': 3,
  'topic-configured': 4,
  'broker-configured': 5,
  'broker-registered': 6,
  'producer-ids-allocated': 7,
} as const satisfies Record<MetadataRecord['type'], number>;

const UUID_BYTES = 16;

/*
 * A record is its type (u8) and these fields; numbers are uvarints, texts have their length before them:
 *
 *   1 topic-created           topicId(16 bytes) name internal(u8) partitions
 *   2 partitions-added        topicId partitions
 *   3 topic-deleted           topicId
 *   4 topic-configured        topicId settings
 *   5 broker-configured       nodeId+1, or 0 for all brokers, settings
 *   6 broker-registered       nodeId incarnationId(text) walKind
 *   7 producer-ids-allocated  nextProducerId
 *
 *   partitions  firstStreamId, count of runs, then for each run of partitions with one leader: length leaderId
 *   settings    count, then for each in the order of names: name value
 */
export function encodeRecord(record: MetadataRecord): Uint8Array {
  const writer = new ByteWriter(64);
  writer.uint8(TYPES[record.type]);
  switch (record.type) {
    case 'topic-created':
      writeUuid(writer, record.topicId);
      writeText(writer, record.name);
      writer.uint8(record.internal ? 1 : 0);
      writePartitions(writer, record.partitions);
      break;
    case 'partitions-added':
      writeUuid(writer, record.topicId);
      writePartitions(writer, record.partitions);
      break;
    case 'topic-deleted':
      writeUuid(writer, record.topicId);
      break;
    case 'topic-configured':
      writeUuid(writer, record.topicId);
      writeSettings(writer, record.settings);
      break;
    case 'broker-configured':
      writeUvarint(writer, record.nodeId === undefined ? 0 : record.nodeId + 1);
      writeSettings(writer, record.settings);
      break;
    case 'broker-registered':
      writeUvarint(writer, record.nodeId);
      writeText(writer, record.incarnationId);
      writeText(writer, record.walKind);
      break;
    case 'producer-ids-allocated':
      writeUvarint(writer, record.nextProducerId);
      break;
  }
  return writer.finish();
}

/** @throws {CorruptionError} for a type that this program does not know: a reader stops, it never skips (T23) */
export function decodeRecord(bytes: Uint8Array): MetadataRecord {
  const reader = new ByteReader(bytes);
  const record = decodeFields(reader.uint8(), reader);
  if (reader.remaining > 0) {
    throw new CorruptionError(
      `a metadata record of type ${record.type} has ${reader.remaining} bytes too many`,
    );
  }
  return record;
}

function decodeFields(type: number, reader: ByteReader): MetadataRecord {
  switch (type) {
    case TYPES['topic-created']:
      return {
        type: 'topic-created',
        topicId: readUuid(reader),
        name: readText(reader),
        internal: reader.uint8() === 1,
        partitions: readPartitions(reader),
      };
    case TYPES['partitions-added']:
      return { type: 'partitions-added', topicId: readUuid(reader), partitions: readPartitions(reader) };
    case TYPES['topic-deleted']:
      return { type: 'topic-deleted', topicId: readUuid(reader) };
    case TYPES['topic-configured']:
      return { type: 'topic-configured', topicId: readUuid(reader), settings: readSettings(reader) };
    case TYPES['broker-configured']: {
      const node = readUvarint(reader);
      return {
        type: 'broker-configured',
        nodeId: node === 0 ? undefined : node - 1,
        settings: readSettings(reader),
      };
    }
    case TYPES['broker-registered']:
      return {
        type: 'broker-registered',
        nodeId: readUvarint(reader),
        incarnationId: readText(reader),
        walKind: readText(reader),
      };
    case TYPES['producer-ids-allocated']:
      return { type: 'producer-ids-allocated', nextProducerId: readUvarint(reader) };
    default:
      throw new CorruptionError(
        `the metadata has no record of type ${type}: it was written by a newer release; start a release that knows it`,
      );
  }
}

export function writeUuid(writer: ByteWriter, uuid: string): void {
  writer.raw(Buffer.from(uuid, 'base64url'));
}

export function readUuid(reader: ByteReader): string {
  return Buffer.from(reader.slice(UUID_BYTES)).toString('base64url');
}

/** In the order of names, so that equal settings are equal bytes (I20). */
export function writeSettings(writer: ByteWriter, settings: ReadonlyMap<string, string>): void {
  writeUvarint(writer, settings.size);
  for (const [name, value] of [...settings].sort(([a], [b]) => (a < b ? -1 : 1))) {
    writeText(writer, name);
    writeText(writer, value);
  }
}

export function readSettings(reader: ByteReader): ReadonlyMap<string, string> {
  const settings = new Map<string, string>();
  for (let left = readUvarint(reader); left > 0; left--) settings.set(readText(reader), readText(reader));
  return settings;
}

function writePartitions(writer: ByteWriter, { firstStreamId, leaderIds }: NewPartitions): void {
  const runs: { length: number; readonly leaderId: number }[] = [];
  for (const leaderId of leaderIds) {
    const last = runs.at(-1);
    if (last?.leaderId === leaderId) last.length++;
    else runs.push({ length: 1, leaderId });
  }
  writeUvarint(writer, firstStreamId);
  writeUvarint(writer, runs.length);
  for (const { length, leaderId } of runs) {
    writeUvarint(writer, length);
    writeUvarint(writer, leaderId);
  }
}

function readPartitions(reader: ByteReader): NewPartitions {
  const firstStreamId = readUvarint(reader);
  const leaderIds: number[] = [];
  for (let left = readUvarint(reader); left > 0; left--) {
    const length = readUvarint(reader);
    const leaderId = readUvarint(reader);
    for (let n = 0; n < length; n++) leaderIds.push(leaderId);
  }
  return { firstStreamId, leaderIds };
}
