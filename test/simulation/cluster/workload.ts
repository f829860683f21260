import { buildBatch, type NewBatch } from '../../../broker-runtime/src/wire/records/build-batch.ts';
import { Churn } from './churn.ts';
import {
  ClusterClient,
  type FetchAnswer,
  NONE,
  OFFSET_OUT_OF_RANGE,
  type SeenRecord,
} from './cluster-client.ts';
import type { ClusterWorld } from './cluster-world.ts';
import { GroupHistory } from './group-history.ts';
import { GroupWork } from './group-work.ts';
import { ClusterHistory } from './history.ts';
import { createTopic, deleteRecords } from './requests.ts';
import { keyOf, type TopicKind, valueOf } from './topic-kinds.ts';

/** 45 out of order, 46 duplicate without a place, 47 fenced, 59 unknown producer: the broker lost its state. */
const STATE_LOST = [45, 46, 47, 59];
const MAX_BATCH = 4;
const TIMESTAMP_MS = 1_767_225_600_000;
const TRIM_PAUSE_MS = 3_000;

export interface SimTopic {
  readonly name: string;
  readonly partitions: number;
  /** Default: kept. */
  readonly kind?: TopicKind;
}

/** Producers and consumers of one seed; they go on until {@link finish}. */
export class Workload {
  readonly history: ClusterHistory;
  readonly groups: GroupHistory;
  readonly #world: ClusterWorld;
  readonly #topics: SimTopic[] = [];
  readonly #clients: ClusterClient[] = [];
  readonly #groups: GroupWork[] = [];
  readonly #churns: Churn[] = [];
  readonly #work: Promise<void>[] = [];
  #isFinishing = false;

  constructor(world: ClusterWorld) {
    this.#world = world;
    this.history = new ClusterHistory((what) => world.violate(what));
    this.groups = new GroupHistory((what) => world.violate(what));
  }

  get topics(): readonly SimTopic[] {
    return this.#topics;
  }

  /** Creates it, and begins to write and read it. Resolves when the creation was acknowledged. */
  async addTopic(topic: SimTopic, producers: number, pauseMs: number): Promise<void> {
    const admin = this.client(`admin-${topic.name}`);
    this.history.expect(topic.name, topic.kind ?? 'kept');
    while (!(await createTopic(admin, topic.name, topic.partitions, topic.kind))) await admin.pause(500);
    this.#topics.push(topic);
    if (topic.kind === 'trimmed') this.#work.push(this.#trim(topic, `${topic.name}.t`));
    for (let n = 0; n < producers; n++) this.#work.push(this.#produce(topic, `${topic.name}.p${n}`, pauseMs));
    this.#work.push(this.#consume(topic, `${topic.name}.c`));
  }

  /** Somebody who commits offsets of this topic for a group, as a consumer without membership. */
  addGroup(group: string, topic: SimTopic): void {
    const work = new GroupWork(this.client(group), this.groups, group, topic);
    this.#groups.push(work);
    this.#work.push(work.run(() => this.#isFinishing));
  }

  /** Somebody who creates topics, writes to them, and deletes most of them. */
  addChurn(name: string): void {
    const churn = new Churn(this, this.client(name), name);
    this.#churns.push(churn);
    this.#work.push(churn.run(() => this.#isFinishing));
  }

  /** No new batches; resolves when every batch that was begun is acknowledged. */
  async finish(): Promise<void> {
    this.#isFinishing = true;
    await Promise.all(this.#work);
  }

  /** Each partition takes a record (I37), and everything is read back. */
  async drain(): Promise<void> {
    await Promise.all([
      ...this.#topics.map((topic) => this.#drainTopic(topic)),
      ...this.#groups.map((group) => group.check()),
      ...this.#churns.map((churn) => churn.drain()),
    ]);
    for (const client of this.#clients) client.close();
  }

  violate(what: string): void {
    this.#world.violate(what);
  }

  /** What came to pass, or the invariants of it proved little. */
  get marks(): readonly (readonly [string, number])[] {
    return [
      ['workload.records-trimmed', this.history.trimmed],
      ['workload.records-superseded', this.history.superseded],
      ['workload.offsets-committed', this.groups.commits],
      ['workload.topics-deleted', this.#churns.reduce((sum, { deleted }) => sum + deleted, 0)],
    ];
  }

  /** For whom a run did not end. */
  describe(): readonly string[] {
    return this.#clients.map(({ name, last, doing }) => `${name}: ${last} ${doing}`);
  }

  /** On a host of its own; closed when everything is over. */
  client(name: string): ClusterClient {
    const client = new ClusterClient(this.#world, name);
    this.#clients.push(client);
    return client;
  }

  /** Sends each batch until it is acknowledged, with its sequence: exactly once. */
  async #produce(topic: SimTopic, name: string, pauseMs: number): Promise<void> {
    const client = this.client(name);
    const producerId = await this.producerId(client);
    const sequences = new Map<number, number>();
    while (!this.#isFinishing) {
      const partition = client.random.below(topic.partitions);
      const baseSequence = sequences.get(partition) ?? 0;
      const count = client.random.between(1, MAX_BATCH);
      if (!(await this.send(client, topic.name, partition, producerId, baseSequence, count))) return;
      sequences.set(partition, baseSequence + count);
      await client.pause(pauseMs);
    }
  }

  async producerId(client: ClusterClient): Promise<number> {
    for (;;) {
      const producerId = await client.initProducerId();
      if (producerId !== undefined) return producerId;
      await client.pause(500);
    }
  }

  /** Until it is acknowledged. @returns false: the broker lost the producer's state */
  async send(
    client: ClusterClient,
    topic: string,
    partition: number,
    producerId: number,
    baseSequence: number,
    count: number,
  ): Promise<boolean> {
    const values = Array.from({ length: count }, (_, n) =>
      valueOf(topic, partition, client.name, baseSequence + n),
    );
    for (;;) {
      const batch = batchOf(values, { producerId, producerEpoch: 0, baseSequence });
      const answer = await client.produce(topic, partition, batch);
      if (answer?.errorCode === NONE) {
        this.history.acked(topic, partition, client.name, baseSequence, values, answer.baseOffset);
        return true;
      }
      if (answer !== undefined && STATE_LOST.includes(answer.errorCode)) {
        this.#world.violate(
          `I14: ${topic}-${partition}: ${client.name} was answered ${answer.errorCode} at sequence ${baseSequence}`,
        );
        return false;
      }
      await client.pause(300);
    }
  }

  async #consume(topic: SimTopic, name: string): Promise<void> {
    const client = this.client(name);
    const next = Array.from({ length: topic.partitions }, () => 0);
    while (!this.#isFinishing) {
      const partition = client.random.below(topic.partitions);
      // Now and then from the beginning: what was served once must stay (I9).
      const from = client.random.chance(0.03) ? 0 : (next[partition] ?? 0);
      const answer = await this.#fetch(client, topic.name, partition, from);
      if (answer !== undefined) next[partition] = Math.max(next[partition] ?? 0, answer.nextOffset);
      await client.pause(200);
    }
  }

  /** Asks that records go which were acknowledged or read, of any partition. */
  async #trim(topic: SimTopic, name: string): Promise<void> {
    const client = this.client(name);
    while (!this.#isFinishing) {
      await client.pause(TRIM_PAUSE_MS);
      const partition = client.random.below(topic.partitions);
      const known = this.history.known(topic.name, partition);
      if (known.end === known.start) continue;
      const offset = client.random.between(known.start, known.end);
      this.history.trimming(topic.name, partition, offset);
      const startOffset = await deleteRecords(client, topic.name, partition, offset);
      // From here on nothing below it is served.
      if (startOffset === undefined) continue;
      this.history.began(topic.name, partition, { ...known, start: offset }, startOffset);
    }
  }

  /** What was read, and where to read on; undefined when that was not told. */
  async #fetch(
    client: ClusterClient,
    topic: string,
    partition: number,
    from: number,
  ): Promise<Pick<FetchAnswer, 'records' | 'nextOffset' | 'logStartOffset' | 'bytes'> | undefined> {
    const known = this.history.known(topic, partition);
    const answer = await client.fetch(topic, partition, from);
    if (answer?.errorCode === OFFSET_OUT_OF_RANGE) {
      this.history.refused(topic, partition, known, from);
      const { logStartOffset } = answer;
      if (logStartOffset < 0) return undefined;
      this.history.began(topic, partition, known, logStartOffset);
      return { records: [], nextOffset: logStartOffset, logStartOffset, bytes: 0 };
    }
    if (answer?.errorCode !== NONE) return undefined;
    this.history.fetched(topic, partition, from, known, answer);
    return answer;
  }

  async #drainTopic(topic: SimTopic): Promise<void> {
    const client = this.client(`${topic.name}.drain`);
    const producerId = await this.producerId(client);
    for (let partition = 0; partition < topic.partitions; partition++) {
      if (await this.send(client, topic.name, partition, producerId, 0, 1)) {
        await this.drainPartition(client, topic.name, partition);
      }
    }
  }

  /** Reads everything of it, for the last check. */
  async drainPartition(client: ClusterClient, topic: string, partition: number): Promise<void> {
    const known = this.history.known(topic, partition);
    let records: SeenRecord[] = [];
    let startOffset = 0;
    let bytes = 0;
    for (let next = 0; next < known.end;) {
      const read = await this.#fetch(client, topic, partition, next);
      if (read === undefined) {
        await client.pause(300);
        continue;
      }
      if (read.nextOffset > next && read.records.length === 0 && read.bytes === 0) {
        // It begins later, perhaps since a moment ago.
        [records, startOffset, bytes] = [[], read.logStartOffset, 0];
      }
      records.push(...read.records);
      bytes += read.bytes;
      next = read.nextOffset;
    }
    this.history.drained(topic, partition, { known, startOffset, records, bytes });
  }
}

/** Each record with the key of its value. */
function batchOf(values: readonly string[], producer: Partial<NewBatch>): Uint8Array {
  return buildBatch({
    ...producer,
    baseOffset: 0,
    records: values.map((value, offset) => ({
      offset,
      timestampMs: TIMESTAMP_MS,
      key: Buffer.from(keyOf(value)),
      value: Buffer.from(value),
    })),
  });
}
