import type { ByteReader, ByteWriter } from '../../base/bytes.ts';
import { invariant } from '../../base/errors.ts';
import { readText, readUvarint, writeText, writeUvarint } from '../../base/varint.ts';
import type { MetadataChange, Partition, Topic } from '../cluster-metadata.ts';
import { collisionKey } from '../topic-name.ts';
import { byKey, readSettings, readUuid, writeSettings, writeUuid } from './fields.ts';

export type Settings = ReadonlyMap<string, string>;

export interface TopicEntry {
  readonly topic: Topic;
  readonly settings: Settings;
}

export type TopicChange = Omit<MetadataChange, 'brokers'>;

/** The topics with what is set for them, by id, by name and by stream, and which of them changed. Topics are replaced, never changed. */
export class TopicTable {
  readonly #entries = new Map<string, TopicEntry>();
  readonly #idByName = new Map<string, string>();
  /** Topic names by {@link collisionKey}: at most one each. */
  readonly #nameByCollisionKey = new Map<string, string>();
  readonly #partitionByStream = new Map<number, { readonly topicId: string; readonly index: number }>();
  #partitionCount = 0;
  #changes = noChanges();

  get partitionCount(): number {
    return this.#partitionCount;
  }

  *all(): Iterable<Topic> {
    for (const { topic } of this.#entries.values()) yield topic;
  }

  byId(topicId: string): Topic | undefined {
    return this.#entries.get(topicId)?.topic;
  }

  byName(name: string): Topic | undefined {
    const topicId = this.#idByName.get(name);
    return topicId === undefined ? undefined : this.byId(topicId);
  }

  /** The topic whose name is the same as, or would be confused with, this one. */
  nameLike(name: string): string | undefined {
    return this.#nameByCollisionKey.get(collisionKey(name));
  }

  partitionOfStream(streamId: number): Partition | undefined {
    const place = this.#partitionByStream.get(streamId);
    return place === undefined ? undefined : this.byId(place.topicId)?.partitions[place.index];
  }

  settingsOf(topicId: string): Settings | undefined {
    return this.#entries.get(topicId)?.settings;
  }

  create(topic: Topic, settings: Settings): void {
    const { id, name } = topic;
    const isNew = !this.#entries.has(id) && !this.#idByName.has(name);
    invariant(isNew, 'I38', 'topic ids and names are unique', { name });
    this.#changes.created.add(id);
    this.#put({ topic, settings });
  }

  /** What `change` makes of a topic that there is; its id and name stay. */
  replace(topicId: string, change: (entry: TopicEntry) => TopicEntry): void {
    this.#put(change(this.#entry(topicId)));
  }

  replaceAll(change: (entry: TopicEntry) => TopicEntry): void {
    for (const entry of [...this.#entries.values()]) this.#put(change(entry));
  }

  /** Any of them may be another now. */
  touchAll(): void {
    for (const topic of this.all()) this.#touch(topic.id);
  }

  delete(topicId: string): void {
    const { topic } = this.#entry(topicId);
    this.#partitionCount -= topic.partitions.length;
    this.#entries.delete(topicId);
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

  clear(): void {
    for (const topic of this.all()) this.#changes.deleted.set(topic.id, topic);
    this.#entries.clear();
    this.#idByName.clear();
    this.#nameByCollisionKey.clear();
    this.#partitionByStream.clear();
    this.#partitionCount = 0;
  }

  takeChanges(): TopicChange {
    const { created, deleted, changed } = this.#changes;
    this.#changes = noChanges();
    const existing = (ids: ReadonlySet<string>): readonly Topic[] =>
      [...ids].flatMap((id) => this.byId(id) ?? []);
    return { created: existing(created), deleted: [...deleted.values()], changed: existing(changed) };
  }

  /*
   * In a snapshot (numbers are uvarints):
   *   count, then for each topic by name: topicId name internal(u8) settings
   *     count, then for each partition: leaderEpoch leaderId dataStreamId stateStreamId movingTo+1 or 0
   */
  write(writer: ByteWriter): void {
    writeUvarint(writer, this.#entries.size);
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

  /** In place of what there is, which was cleared. */
  read(reader: ByteReader): void {
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
      this.#put({ topic: { id, name, internal, partitions }, settings });
    }
  }

  #put(entry: TopicEntry): void {
    const { topic } = entry;
    const known = this.byId(topic.id)?.partitions.length ?? 0;
    this.#partitionCount += topic.partitions.length - known;
    this.#touch(topic.id);
    for (const partition of topic.partitions.slice(known)) {
      const place = { topicId: topic.id, index: partition.index };
      this.#partitionByStream.set(partition.dataStreamId, place);
      this.#partitionByStream.set(partition.stateStreamId, place);
    }
    this.#entries.set(topic.id, entry);
    this.#idByName.set(topic.name, topic.id);
    this.#nameByCollisionKey.set(collisionKey(topic.name), topic.name);
  }

  #touch(topicId: string): void {
    if (!this.#changes.created.has(topicId)) this.#changes.changed.add(topicId);
  }

  #entry(topicId: string): TopicEntry {
    const entry = this.#entries.get(topicId);
    invariant(entry !== undefined, 'I38', 'records name existing topics', { topicId });
    return entry;
  }
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
}

function noChanges(): Changes {
  return { created: new Set(), deleted: new Map(), changed: new Set() };
}
