import { ByteReader, ByteWriter } from '../../base/bytes.ts';
import { CorruptionError } from '../../base/errors.ts';
import { readText, readUvarint, writeText, writeUvarint } from '../../base/varint.ts';
import type { BrokerRegistration, Endpoint, NodeRef } from '../cluster-metadata.ts';
import {
  readRegistration,
  readSettings,
  readUuid,
  writeRegistration,
  writeSettings,
  writeUuid,
} from './fields.ts';

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
  | ({ readonly type: 'node-registered' } & BrokerRegistration)
  | ({ readonly type: 'node-serving' } & NodeRef & Endpoint)
  | ({ readonly type: 'node-fenced' } & NodeRef)
  | ({
      readonly type: 'recovery-assigned';
      readonly recovererId: number;
      readonly attempt: number;
    } & NodeRef)
  | ({ readonly type: 'node-clean' } & NodeRef)
  | { readonly type: 'leaders-changed'; readonly topics: readonly NewLeaders[] }
  | {
      readonly type: 'partition-moving';
      readonly topicId: string;
      readonly index: number;
      /** Undefined: it stays where it is. */
      readonly toNodeId: number | undefined;
    }
  | { readonly type: 'producer-ids-allocated'; readonly nextProducerId: number };

/** Partitions of one topic that are led by another node from now on, each under the next leader epoch. */
export interface NewLeaders {
  readonly topicId: string;
  readonly leaders: readonly { readonly index: number; readonly leaderId: number }[];
}

/** Partitions that begin together: two streams each, data then state, in the order of ids, the first leader of each. */
export interface NewPartitions {
  readonly firstStreamId: number;
  readonly leaderIds: readonly number[];
}

/** First byte of a record. Numbers are never reused (6 was); a change of a layout gets a new number. */
const TYPES = {
  'topic-created': 1,
  'partitions-added': 2,
  'topic-deleted': 3,
  'topic-configured': 4,
  'broker-configured': 5,
  'producer-ids-allocated': 7,
  'node-registered': 8,
  'node-fenced': 9,
  'recovery-assigned': 10,
  'node-clean': 11,
  'leaders-changed': 12,
  'partition-moving': 13,
  'node-serving': 14,
} as const satisfies Record<MetadataRecord['type'], number>;

/*
 * A record is its type (u8) and these fields; numbers are uvarints, texts have their length before them:
 *
 *   1 topic-created           topicId(16 bytes) name internal(u8) partitions
 *   2 partitions-added        topicId partitions
 *   3 topic-deleted           topicId
 *   4 topic-configured        topicId settings
 *   5 broker-configured       nodeId+1, or 0 for all brokers, settings
 *   7 producer-ids-allocated  nextProducerId
 *   8 node-registered         nodeId incarnationId(text) walKind zone
 *   9 node-fenced             nodeId nodeEpoch
 *  10 recovery-assigned       nodeId nodeEpoch recovererId attempt
 *  11 node-clean              nodeId nodeEpoch
 *  12 leaders-changed         count, then for each topic: topicId count, then for each partition: index leaderId
 *  13 partition-moving        topicId index toNodeId+1, or 0 when it stays
 *  14 node-serving            nodeId nodeEpoch host port
 *
 *   partitions  firstStreamId, count of runs, then for each run of partitions with one leader: length leaderId
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
    case 'producer-ids-allocated':
      writeUvarint(writer, record.nextProducerId);
      break;
    case 'node-registered':
      writeRegistration(writer, record);
      break;
    case 'node-fenced':
    case 'node-clean':
      writeNode(writer, record);
      break;
    case 'node-serving':
      writeNode(writer, record);
      writeText(writer, record.host);
      writeUvarint(writer, record.port);
      break;
    case 'recovery-assigned':
      writeNode(writer, record);
      writeUvarint(writer, record.recovererId);
      writeUvarint(writer, record.attempt);
      break;
    case 'leaders-changed':
      writeUvarint(writer, record.topics.length);
      for (const { topicId, leaders } of record.topics) {
        writeUuid(writer, topicId);
        writeUvarint(writer, leaders.length);
        for (const { index, leaderId } of leaders) {
          writeUvarint(writer, index);
          writeUvarint(writer, leaderId);
        }
      }
      break;
    case 'partition-moving':
      writeUuid(writer, record.topicId);
      writeUvarint(writer, record.index);
      writeUvarint(writer, record.toNodeId === undefined ? 0 : record.toNodeId + 1);
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
    case TYPES['producer-ids-allocated']:
      return { type: 'producer-ids-allocated', nextProducerId: readUvarint(reader) };
    case TYPES['node-registered']:
      return { type: 'node-registered', ...readRegistration(reader) };
    case TYPES['node-serving']: {
      const node = readNode(reader);
      const host = readText(reader);
      return { type: 'node-serving', ...node, host, port: readUvarint(reader) };
    }
    case TYPES['node-fenced']:
      return { type: 'node-fenced', ...readNode(reader) };
    case TYPES['node-clean']:
      return { type: 'node-clean', ...readNode(reader) };
    case TYPES['recovery-assigned']: {
      const node = readNode(reader);
      const recovererId = readUvarint(reader);
      return { type: 'recovery-assigned', ...node, recovererId, attempt: readUvarint(reader) };
    }
    case TYPES['leaders-changed']:
      return { type: 'leaders-changed', topics: readList(reader, () => readNewLeaders(reader)) };
    case TYPES['partition-moving']: {
      const topicId = readUuid(reader);
      const index = readUvarint(reader);
      const node = readUvarint(reader);
      return { type: 'partition-moving', topicId, index, toNodeId: node === 0 ? undefined : node - 1 };
    }
    default:
      throw new CorruptionError(
        `the metadata has no record of type ${type}: it was written by a newer release; start a release that knows it`,
      );
  }
}

function writeNode(writer: ByteWriter, { nodeId, nodeEpoch }: NodeRef): void {
  writeUvarint(writer, nodeId);
  writeUvarint(writer, nodeEpoch);
}

function readNode(reader: ByteReader): NodeRef {
  const nodeId = readUvarint(reader);
  return { nodeId, nodeEpoch: readUvarint(reader) };
}

function readNewLeaders(reader: ByteReader): NewLeaders {
  const topicId = readUuid(reader);
  const leaders = readList(reader, () => {
    const index = readUvarint(reader);
    return { index, leaderId: readUvarint(reader) };
  });
  return { topicId, leaders };
}

function readList<T>(reader: ByteReader, readOne: () => T): readonly T[] {
  const list: T[] = [];
  for (let left = readUvarint(reader); left > 0; left--) list.push(readOne());
  return list;
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
