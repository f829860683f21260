import type {
  CreateTopic,
  MetadataChange,
  Partition,
  Topic,
  TopicResult,
} from '../../broker-runtime/src/metadata/cluster-metadata.ts';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';

/** The part of the cluster's metadata that the coordinator asks: topics that come, go and change hands. */
export class TopicsDouble {
  readonly created: CreateTopic[] = [];
  /** Answered to the next createTopics instead of creating. */
  refusal: number | undefined;
  readonly #topics = new Map<string, Topic>();
  readonly #listeners = new Set<(change: MetadataChange) => void>();
  readonly #brokerId: number;
  #nextId = 1;

  constructor(brokerId: number) {
    this.#brokerId = brokerId;
  }

  topicByName(name: string): Topic | undefined {
    return this.#topics.get(name);
  }

  async createTopics(requests: readonly CreateTopic[]): Promise<readonly TopicResult[]> {
    await Promise.resolve();
    return requests.map((request) => {
      this.created.push(request);
      if (this.refusal !== undefined) return { error: this.refusal };
      return { error: Errors.NONE, topic: this.add(request.name, request.partitionCount) };
    });
  }

  onChange(listener: (change: MetadataChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  add(name: string, partitionCount: number): Topic {
    const partitions = Array.from({ length: partitionCount }, (_, index) => this.#partition(index));
    const topic = { id: `topic-id-${this.#nextId++}`.padEnd(22, '-'), name, internal: false, partitions };
    this.#topics.set(name, topic);
    this.#tell({ created: [topic], deleted: [], changed: [], brokers: false });
    return topic;
  }

  delete(name: string): void {
    const topic = this.#topics.get(name);
    if (topic === undefined) return;
    this.#topics.delete(name);
    this.#tell({ created: [], deleted: [topic], changed: [], brokers: false });
  }

  /** Gives a partition to another leader, under a new epoch. */
  lead(name: string, index: number, leaderId: number): void {
    this.#change(name, index, ({ leaderEpoch }) => ({ leaderId, leaderEpoch: leaderEpoch + 1 }));
  }

  /** Begins to move a partition, or calls that off. */
  move(name: string, index: number, movingTo: number | undefined): void {
    this.#change(name, index, () => ({ movingTo }));
  }

  #change(name: string, index: number, change: (partition: Partition) => Partial<Partition>): void {
    const topic = this.#topics.get(name);
    if (topic === undefined) return;
    const partitions = topic.partitions.map((partition) =>
      partition.index === index ? { ...partition, ...change(partition) } : partition,
    );
    const changed = { ...topic, partitions };
    this.#topics.set(name, changed);
    this.#tell({ created: [], deleted: [], changed: [changed], brokers: false });
  }

  #partition(index: number): Partition {
    return {
      index,
      leaderEpoch: 0,
      leaderId: this.#brokerId,
      dataStreamId: 2 * index,
      stateStreamId: 2 * index + 1,
    };
  }

  #tell(change: MetadataChange): void {
    for (const listener of this.#listeners) listener(change);
  }
}
