import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import { CorruptionError, invariant } from '../base/errors.ts';
import { readText, readUvarint, writeText, writeUvarint } from '../base/varint.ts';
import type { Image, JournalRecord } from '../wal/journal.ts';
import type { MetadataChange, Partition, RegisteredBroker, Topic } from './cluster-metadata.ts';
import { applyNodeRecord, readNodes, writeNodes } from './image/nodes.ts';
import {
  decodeRecord,
  encodeRecord,
  readSettings,
  readUuid,
  writeSettings,
  writeUuid,
} from './image/records.ts';
import type { MetadataRecord, NewLeaders, NewPartitions } from './image/records.ts';
import { collisionKey } from './topic-name.ts';

const SNAPSHOT_VERSION = 2;
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
  readonly #partitionByStream = new Map<number, { readonly topicId: string; readonly index: number }>();
  #changes = noChanges();

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

  /** The partition that a stream belongs to. */
  partitionOfStream(streamId: number): Partition | undefined {
    const place = this.#partitionByStream.get(streamId);
    return place === undefined ? undefined : this.topicById(place.topicId)?.partitions[place.index];
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
        this.#changes.created.add(id);
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
        // Many broker settings are defaults of topics, so any topic may be another now.
        for (const id of this.#topics.keys()) this.#changes.changed.add(id);
        if (record.nodeId === undefined) this.#clusterSettings = record.settings;
        else if (record.settings.size === 0) this.#brokerSettings.delete(record.nodeId);
        else this.#brokerSettings.set(record.nodeId, record.settings);
        break;
      case 'producer-ids-allocated':
        invariant(
          record.nextProducerId > this.nextProducerId,
          'I14',
          'producer ids are never given out twice',
          record,
        );
        this.nextProducerId = record.nextProducerId;
        break;
      case 'node-registered':
      case 'node-serving':
      case 'node-fenced':
      case 'recovery-assigned':
      case 'node-clean':
        applyNodeRecord(this.brokers, record, sequence);
        this.#changes.brokers = true;
        break;
      case 'leaders-changed':
        for (const { topicId, leaders } of record.topics) this.#changeLeaders(topicId, leaders);
        break;
      case 'partition-moving': {
        const { topic, settings } = this.#entry(record.topicId);
        const partitions = [...topic.partitions];
        const partition = partitions[record.index];
        invariant(partition !== undefined, 'I5', 'records name existing partitions', { ...record });
        partitions[record.index] = { ...partition, movingTo: record.toNodeId };
        this.#putTopic({ ...topic, partitions }, settings);
        break;
      }
    }
  }

  /**
   * The cluster goes on elsewhere without its nodes (protocol 3.9): none lives, no partition is on its way, and epochs and
   * producer ids begin so far on that nothing the lost cluster decided unseen is decided again.
   */
  promote({
    leaderEpochs,
    producerIds,
  }: {
    readonly leaderEpochs: number;
    readonly producerIds: number;
  }): void {
    const gone = { state: 'clean', logNeeded: false, endpoint: undefined, recovery: undefined } as const;
    for (const [nodeId, node] of this.brokers) this.brokers.set(nodeId, { ...node, ...gone });
    for (const { topic, settings } of [...this.#topics.values()]) {
      const partitions = topic.partitions.map((partition) => ({
        ...partition,
        leaderEpoch: partition.leaderEpoch + leaderEpochs,
        movingTo: undefined,
      }));
      this.#putTopic({ ...topic, partitions }, settings);
    }
    this.nextProducerId += producerIds;
  }

  /** What changed since this was asked last, for those who must act on it. */
  takeChanges(): MetadataChange {
    const { created, deleted, changed, brokers } = this.#changes;
    this.#changes = noChanges();
    const existing = (ids: ReadonlySet<string>): readonly Topic[] =>
      [...ids].flatMap((id) => this.topicById(id) ?? []);
    return {
      created: existing(created),
      deleted: [...deleted.values()],
      changed: existing(changed),
      brokers,
    };
  }

  clear(): void {
    for (const { topic } of this.#topics.values()) this.#changes.deleted.set(topic.id, topic);
    this.#changes.brokers = true;
    this.nextProducerId = 0;
    this.brokers.clear();
    this.#topics.clear();
    this.#idByName.clear();
    this.#nameByCollisionKey.clear();
    this.#brokerSettings.clear();
    this.#clusterSettings = NO_SETTINGS;
    this.#partitionCount = 0;
    this.#partitionByStream.clear();
  }

  /*
   * Snapshot: version u8, then (numbers are uvarints)
   *   nextProducerId
   *   count, then for each node by id: its registration, nodeEpoch, state(u8), logNeeded(u8), of the
   *     life before: state(u8) logNeeded(u8) epoch or 0; recovererId+1 or 0, attempt, host, port
   *   settings of all brokers
   *   count, then for each broker with settings by node id: nodeId settings
   *   count, then for each topic by name: topicId name internal(u8) settings
   *     count, then for each partition: leaderEpoch leaderId dataStreamId stateStreamId movingTo+1 or 0
   */
  writeSnapshot(writer: ByteWriter): void {
    writer.uint8(SNAPSHOT_VERSION);
    writeUvarint(writer, this.nextProducerId);
    writeNodes(writer, byKey(this.brokers));
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
        writeUvarint(writer, partition.movingTo === undefined ? 0 : partition.movingTo + 1);
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
    for (const broker of readNodes(reader)) this.brokers.set(broker.nodeId, broker);
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
      // Known before the reload: changed, for all we know.
      if (!this.#changes.deleted.delete(id)) this.#changes.created.add(id);
      this.#putTopic({ id, name, internal, partitions }, settings);
    }
  }

  #putTopic(topic: Topic, settings: Settings): void {
    const known = this.topicById(topic.id)?.partitions.length ?? 0;
    this.#partitionCount += topic.partitions.length - known;
    if (!this.#changes.created.has(topic.id)) this.#changes.changed.add(topic.id);
    for (const partition of topic.partitions.slice(known)) {
      const place = { topicId: topic.id, index: partition.index };
      this.#partitionByStream.set(partition.dataStreamId, place);
      this.#partitionByStream.set(partition.stateStreamId, place);
    }
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
    for (const { dataStreamId, stateStreamId } of topic.partitions) {
      this.#partitionByStream.delete(dataStreamId);
      this.#partitionByStream.delete(stateStreamId);
    }
    this.#changes.changed.delete(topicId);
    // Created and deleted unseen: nobody has to know.
    if (!this.#changes.created.delete(topicId)) this.#changes.deleted.set(topicId, topic);
  }

  #changeLeaders(topicId: string, leaders: NewLeaders['leaders']): void {
    const { topic, settings } = this.#entry(topicId);
    const partitions = [...topic.partitions];
    for (const { index, leaderId } of leaders) {
      const partition = partitions[index];
      invariant(partition !== undefined, 'I5', 'records name existing partitions', { topicId, index });
      partitions[index] = {
        ...partition,
        leaderId,
        leaderEpoch: partition.leaderEpoch + 1,
        movingTo: undefined,
      };
    }
    this.#putTopic({ ...topic, partitions }, settings);
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
    movingTo: readMovingTo(reader),
  };
}

function readMovingTo(reader: ByteReader): number | undefined {
  const node = readUvarint(reader);
  return node === 0 ? undefined : node - 1;
}

interface Changes {
  readonly created: Set<string>;
  readonly deleted: Map<string, Topic>;
  readonly changed: Set<string>;
  brokers: boolean;
}

function noChanges(): Changes {
  return { created: new Set(), deleted: new Map(), changed: new Set(), brokers: false };
}

/** Entries in the order of keys, so that equal states are equal bytes (I20). */
function byKey<K extends string | number, V>(map: ReadonlyMap<K, V>): readonly (readonly [K, V])[] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}
