import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import { CorruptionError, invariant } from '../base/errors.ts';
import { readText, readUvarint, writeText, writeUvarint } from '../base/varint.ts';
import type { Image, JournalRecord } from '../wal/journal.ts';
import type { Partition, RegisteredBroker, Topic } from './cluster-metadata.ts';
import {
  decodeRecord,
  encodeRecord,
  readSettings,
  readUuid,
  writeSettings,
  writeUuid,
} from './image/records.ts';
import type { MetadataRecord, NewPartitions } from './image/records.ts';
import { collisionKey } from './topic-name.ts';

const SNAPSHOT_VERSION = 1;
/** A partition has a stream of record batches and one of its own state. */
export const STREAMS_PER_PARTITION = 2;

type Settings = ReadonlyMap<string, string>;

interface TopicEntry {
  readonly topic: Topic;
  readonly settings: Settings;
}

const NO_SETTINGS: Settings = new Map();

/** Topics, settings, brokers and producer ids, folded from the records of the journal. Topics are replaced, never changed. */
export class MetadataImage implements Image {
  readonly kind = 2;
  nextProducerId = 0;
  readonly brokers = new Map<number, RegisteredBroker>();
  readonly #topics = new Map<string, TopicEntry>();
  readonly #idByName = new Map<string, string>();
  /** Topic names by {@link collisionKey}: at most one each. */
  readonly #nameByCollisionKey = new Map<string, string>();
  readonly #brokerSettings = new Map<number, Settings>();
  #clusterSettings: Settings = NO_SETTINGS;
  #partitionCount = 0;

  record(record: MetadataRecord): JournalRecord {
    return { kind: this.kind, bytes: encodeRecord(record) };
  }

  get partitionCount(): number {
    return this.#partitionCount;
  }

  *topics(): Iterable<Topic> {
    for (const { topic } of this.#topics.values()) yield topic;
  }

  topicById(topicId: string): Topic | undefined {
    return this.#topics.get(topicId)?.topic;
  }

  topicByName(name: string): Topic | undefined {
    const topicId = this.#idByName.get(name);
    return topicId === undefined ? undefined : this.topicById(topicId);
  }

  /** The topic whose name is the same as, or would be confused with, this one. */
  topicLike(name: string): string | undefined {
    return this.#nameByCollisionKey.get(collisionKey(name));
  }

  topicSettings(topicId: string): Settings {
    return this.#topics.get(topicId)?.settings ?? NO_SETTINGS;
  }

  /** What is set for one broker alone, or for all of them. */
  brokerSettings(nodeId: number | undefined): Settings {
    return nodeId === undefined ? this.#clusterSettings : (this.#brokerSettings.get(nodeId) ?? NO_SETTINGS);
  }

  apply(bytes: Uint8Array, sequence: number): void {
    const record = decodeRecord(bytes);
    switch (record.type) {
      case 'topic-created': {
        const { topicId: id, name, internal } = record;
        invariant(
          !this.#topics.has(id) && !this.#idByName.has(name),
          'I38',
          'topic ids and names are unique',
          { name },
        );
        this.#putTopic({ id, name, internal, partitions: partitionsOf(0, record.partitions) }, NO_SETTINGS);
        break;
      }
      case 'partitions-added': {
        const { topic, settings } = this.#entry(record.topicId);
        const added = partitionsOf(topic.partitions.length, record.partitions);
        this.#putTopic({ ...topic, partitions: [...topic.partitions, ...added] }, settings);
        break;
      }
      case 'topic-deleted':
        this.#deleteTopic(record.topicId);
        break;
      case 'topic-configured':
        this.#putTopic(this.#entry(record.topicId).topic, record.settings);
        break;
      case 'broker-configured':
        if (record.nodeId === undefined) this.#clusterSettings = record.settings;
        else if (record.settings.size === 0) this.#brokerSettings.delete(record.nodeId);
        else this.#brokerSettings.set(record.nodeId, record.settings);
        break;
      case 'broker-registered': {
        const { nodeId, incarnationId, walKind } = record;
        invariant(
          sequence > (this.brokers.get(nodeId)?.nodeEpoch ?? 0),
          'I31',
          'node epochs strictly increase',
          {
            nodeId,
          },
        );
        this.brokers.set(nodeId, { nodeId, incarnationId, walKind, nodeEpoch: sequence });
        break;
      }
      case 'producer-ids-allocated':
        invariant(
          record.nextProducerId > this.nextProducerId,
          'I14',
          'producer ids are never given out twice',
          record,
        );
        this.nextProducerId = record.nextProducerId;
        break;
    }
  }

  clear(): void {
    this.nextProducerId = 0;
    this.brokers.clear();
    this.#topics.clear();
    this.#idByName.clear();
    this.#nameByCollisionKey.clear();
    this.#brokerSettings.clear();
    this.#clusterSettings = NO_SETTINGS;
    this.#partitionCount = 0;
  }

  /*
   * Snapshot: version u8, then (numbers are uvarints)
   *   nextProducerId
   *   count, then for each broker by node id: nodeId incarnationId walKind nodeEpoch
   *   settings of all brokers
   *   count, then for each broker with settings by node id: nodeId settings
   *   count, then for each topic by name: topicId name internal(u8) settings
   *     count, then for each partition: leaderEpoch leaderId dataStreamId stateStreamId
   */
  writeSnapshot(writer: ByteWriter): void {
    writer.uint8(SNAPSHOT_VERSION);
    writeUvarint(writer, this.nextProducerId);
    writeUvarint(writer, this.brokers.size);
    for (const [nodeId, broker] of byKey(this.brokers)) {
      writeUvarint(writer, nodeId);
      writeText(writer, broker.incarnationId);
      writeText(writer, broker.walKind);
      writeUvarint(writer, broker.nodeEpoch);
    }
    writeSettings(writer, this.#clusterSettings);
    writeUvarint(writer, this.#brokerSettings.size);
    for (const [nodeId, settings] of byKey(this.#brokerSettings)) {
      writeUvarint(writer, nodeId);
      writeSettings(writer, settings);
    }
    writeUvarint(writer, this.#topics.size);
    for (const [, topicId] of byKey(this.#idByName)) {
      const { topic, settings } = this.#entry(topicId);
      writeUuid(writer, topic.id);
      writeText(writer, topic.name);
      writer.uint8(topic.internal ? 1 : 0);
      writeSettings(writer, settings);
      writeUvarint(writer, topic.partitions.length);
      for (const partition of topic.partitions) {
        writeUvarint(writer, partition.leaderEpoch);
        writeUvarint(writer, partition.leaderId);
        writeUvarint(writer, partition.dataStreamId);
        writeUvarint(writer, partition.stateStreamId);
      }
    }
  }

  readSnapshot(reader: ByteReader): void {
    this.clear();
    const version = reader.uint8();
    if (version !== SNAPSHOT_VERSION) {
      throw new CorruptionError(
        `the metadata's snapshot has version ${version}, this program reads ${SNAPSHOT_VERSION}`,
      );
    }
    this.nextProducerId = readUvarint(reader);
    for (let left = readUvarint(reader); left > 0; left--) {
      const nodeId = readUvarint(reader);
      const incarnationId = readText(reader);
      const walKind = readText(reader);
      this.brokers.set(nodeId, { nodeId, incarnationId, walKind, nodeEpoch: readUvarint(reader) });
    }
    this.#clusterSettings = readSettings(reader);
    for (let left = readUvarint(reader); left > 0; left--) {
      this.#brokerSettings.set(readUvarint(reader), readSettings(reader));
    }
    for (let left = readUvarint(reader); left > 0; left--) {
      const id = readUuid(reader);
      const name = readText(reader);
      const internal = reader.uint8() === 1;
      const settings = readSettings(reader);
      const partitions = Array.from({ length: readUvarint(reader) }, (_, index) =>
        readPartition(reader, index),
      );
      this.#putTopic({ id, name, internal, partitions }, settings);
    }
  }

  #putTopic(topic: Topic, settings: Settings): void {
    this.#partitionCount += topic.partitions.length - (this.topicById(topic.id)?.partitions.length ?? 0);
    this.#topics.set(topic.id, { topic, settings });
    this.#idByName.set(topic.name, topic.id);
    this.#nameByCollisionKey.set(collisionKey(topic.name), topic.name);
  }

  #deleteTopic(topicId: string): void {
    const { topic } = this.#entry(topicId);
    this.#partitionCount -= topic.partitions.length;
    this.#topics.delete(topicId);
    this.#idByName.delete(topic.name);
    this.#nameByCollisionKey.delete(collisionKey(topic.name));
  }

  #entry(topicId: string): TopicEntry {
    const entry = this.#topics.get(topicId);
    invariant(entry !== undefined, 'I38', 'records name existing topics', { topicId });
    return entry;
  }
}

export function partitionsOf(
  firstIndex: number,
  { firstStreamId, leaderIds }: NewPartitions,
): readonly Partition[] {
  return leaderIds.map((leaderId, n) => {
    const dataStreamId = firstStreamId + n * STREAMS_PER_PARTITION;
    return { index: firstIndex + n, leaderEpoch: 0, leaderId, dataStreamId, stateStreamId: dataStreamId + 1 };
  });
}

function readPartition(reader: ByteReader, index: number): Partition {
  return {
    index,
    leaderEpoch: readUvarint(reader),
    leaderId: readUvarint(reader),
    dataStreamId: readUvarint(reader),
    stateStreamId: readUvarint(reader),
  };
}

/** Entries in the order of keys, so that equal states are equal bytes (I20). */
function byKey<K extends string | number, V>(map: ReadonlyMap<K, V>): readonly (readonly [K, V])[] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}
