import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import { CorruptionError, invariant } from '../base/errors.ts';
import { readUvarint, writeUvarint } from '../base/varint.ts';
import type { Image, JournalRecord } from '../wal/journal.ts';
import type { MetadataChange, Partition, RegisteredBroker, Topic } from './cluster-metadata.ts';
import { byKey, readSettings, writeSettings } from './image/fields.ts';
import { applyNodeRecord, readNodes, writeNodes } from './image/nodes.ts';
import { decodeRecord, encodeRecord } from './image/records.ts';
import type { MetadataRecord, NewPartitions } from './image/records.ts';
import { TopicTable, type Settings } from './image/topics.ts';

const SNAPSHOT_VERSION = 2;
/** A partition has a stream of record batches and one of its own state. */
export const STREAMS_PER_PARTITION = 2;

const NO_SETTINGS: Settings = new Map();

/** Topics, settings, brokers and producer ids, folded from the records of the journal. */
export class MetadataImage implements Image {
  readonly kind = 2;
  nextProducerId = 0;
  readonly brokers = new Map<number, RegisteredBroker>();
  readonly #topics = new TopicTable();
  readonly #brokerSettings = new Map<number, Settings>();
  #clusterSettings: Settings = NO_SETTINGS;
  #brokersChanged = false;

  record(record: MetadataRecord): JournalRecord {
    return { kind: this.kind, bytes: encodeRecord(record) };
  }

  get partitionCount(): number {
    return this.#topics.partitionCount;
  }

  topics(): Iterable<Topic> {
    return this.#topics.all();
  }

  topicById(topicId: string): Topic | undefined {
    return this.#topics.byId(topicId);
  }

  topicByName(name: string): Topic | undefined {
    return this.#topics.byName(name);
  }

  /** The topic whose name is the same as, or would be confused with, this one. */
  topicLike(name: string): string | undefined {
    return this.#topics.nameLike(name);
  }

  /** The partition that a stream belongs to. */
  partitionOfStream(streamId: number): Partition | undefined {
    return this.#topics.partitionOfStream(streamId);
  }

  topicSettings(topicId: string): Settings {
    return this.#topics.settingsOf(topicId) ?? NO_SETTINGS;
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
        const partitions = partitionsOf(0, record.partitions);
        this.#topics.create({ id, name, internal, partitions }, NO_SETTINGS);
        break;
      }
      case 'partitions-added':
        this.#replace(record.topicId, (topic) => {
          const added = partitionsOf(topic.partitions.length, record.partitions);
          return { ...topic, partitions: [...topic.partitions, ...added] };
        });
        break;
      case 'topic-deleted':
        this.#topics.delete(record.topicId);
        break;
      case 'topic-configured':
        this.#topics.replace(record.topicId, ({ topic }) => ({ topic, settings: record.settings }));
        break;
      case 'broker-configured':
        // Many broker settings are defaults of topics, so any topic may be another now.
        this.#topics.touchAll();
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
        this.#brokersChanged = true;
        break;
      case 'leaders-changed':
        for (const { topicId, leaders } of record.topics) {
          this.#replacePartitions(topicId, leaders, (partition, { leaderId }) => ({
            ...partition,
            leaderId,
            leaderEpoch: partition.leaderEpoch + 1,
            movingTo: undefined,
          }));
        }
        break;
      case 'partition-moving':
        this.#replacePartitions(record.topicId, [record], (partition, { toNodeId }) => ({
          ...partition,
          movingTo: toNodeId,
        }));
        break;
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
    this.#topics.replaceAll(({ topic, settings }) => {
      const partitions = topic.partitions.map((partition) => ({
        ...partition,
        leaderEpoch: partition.leaderEpoch + leaderEpochs,
        movingTo: undefined,
      }));
      return { topic: { ...topic, partitions }, settings };
    });
    this.nextProducerId += producerIds;
  }

  /** What changed since this was asked last, for those who must act on it. */
  takeChanges(): MetadataChange {
    const brokers = this.#brokersChanged;
    this.#brokersChanged = false;
    return { ...this.#topics.takeChanges(), brokers };
  }

  clear(): void {
    this.#brokersChanged = true;
    this.nextProducerId = 0;
    this.brokers.clear();
    this.#topics.clear();
    this.#brokerSettings.clear();
    this.#clusterSettings = NO_SETTINGS;
  }

  /*
   * Snapshot: version u8, then (numbers are uvarints)
   *   nextProducerId
   *   count, then for each node by id: its registration, nodeEpoch, state(u8), logNeeded(u8), of the
   *     life before: state(u8) logNeeded(u8) epoch or 0; recovererId+1 or 0, attempt, host, port
   *   settings of all brokers
   *   count, then for each broker with settings by node id: nodeId settings
   *   topics
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
    this.#topics.write(writer);
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
    this.#topics.read(reader);
  }

  #replace(topicId: string, change: (topic: Topic) => Topic): void {
    this.#topics.replace(topicId, ({ topic, settings }) => ({ topic: change(topic), settings }));
  }

  /** One copy of a topic's partitions for all that change at once. */
  #replacePartitions<C extends { readonly index: number }>(
    topicId: string,
    changes: readonly C[],
    changed: (partition: Partition, change: C) => Partition,
  ): void {
    this.#replace(topicId, (topic) => {
      const partitions = [...topic.partitions];
      for (const change of changes) {
        const { index } = change;
        const partition = partitions[index];
        invariant(partition !== undefined, 'I5', 'records name existing partitions', { topicId, index });
        partitions[index] = changed(partition, change);
      }
      return { ...topic, partitions };
    });
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
