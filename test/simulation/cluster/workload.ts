import { batchOf } from '../../server/broker-rig.ts';
import { ClusterClient, NONE, OFFSET_OUT_OF_RANGE, type SeenRecord } from './cluster-client.ts';
import type { ClusterWorld } from './cluster-world.ts';
import { ClusterHistory, valueOf } from './history.ts';

/** 45 out of order, 46 duplicate without a place, 47 fenced, 59 unknown producer: the broker lost its state. */
const STATE_LOST = [45, 46, 47, 59];
const MAX_BATCH = 4;

export interface SimTopic {
  readonly name: string;
  readonly partitions: number;
}

/** Producers and consumers of one seed; they go on until {@link finish}. */
export class Workload {
  readonly history: ClusterHistory;
  readonly #world: ClusterWorld;
  readonly #topics: SimTopic[] = [];
  readonly #clients: ClusterClient[] = [];
  readonly #work: Promise<void>[] = [];
  #isFinishing = false;

  constructor(world: ClusterWorld) {
    this.#world = world;
    this.history = new ClusterHistory((what) => world.violate(what));
  }

  get topics(): readonly SimTopic[] {
    return this.#topics;
  }

  /** Creates it, and begins to write and read it. Resolves when the creation was acknowledged. */
  async addTopic(topic: SimTopic, producers: number, pauseMs: number): Promise<void> {
    const admin = this.#client(`admin-${topic.name}`);
    while (!(await admin.createTopic(topic.name, topic.partitions))) await admin.pause(500);
    this.#topics.push(topic);
    for (let n = 0; n < producers; n++) this.#work.push(this.#produce(topic, `${topic.name}.p${n}`, pauseMs));
    this.#work.push(this.#consume(topic, `${topic.name}.c`));
  }

  /** No new batches; resolves when every batch that was begun is acknowledged. */
  async finish(): Promise<void> {
    this.#isFinishing = true;
    await Promise.all(this.#work);
  }

  /** Each partition takes a record (I37), and everything is read back. */
  async drain(): Promise<void> {
    await Promise.all(this.#topics.map((topic) => this.#drainTopic(topic)));
    for (const client of this.#clients) client.close();
  }

  /** For whom a run did not end. */
  describe(): readonly string[] {
    return this.#clients.map(({ name, last, doing }) => `${name}: ${last} ${doing}`);
  }

  #client(name: string): ClusterClient {
    const client = new ClusterClient(this.#world, name);
    this.#clients.push(client);
    return client;
  }

  /** Sends each batch until it is acknowledged, with its sequence: exactly once. */
  async #produce(topic: SimTopic, name: string, pauseMs: number): Promise<void> {
    const client = this.#client(name);
    const producerId = await this.#producerId(client);
    const sequences = new Map<number, number>();
    while (!this.#isFinishing) {
      const partition = client.random.below(topic.partitions);
      const baseSequence = sequences.get(partition) ?? 0;
      const count = client.random.between(1, MAX_BATCH);
      if (!(await this.#send(client, topic, partition, producerId, baseSequence, count))) return;
      sequences.set(partition, baseSequence + count);
      await client.pause(pauseMs);
    }
  }

  async #producerId(client: ClusterClient): Promise<number> {
    for (;;) {
      const producerId = await client.initProducerId();
      if (producerId !== undefined) return producerId;
      await client.pause(500);
    }
  }

  async #send(
    client: ClusterClient,
    { name: topic }: SimTopic,
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
    const client = this.#client(name);
    const next = Array.from({ length: topic.partitions }, () => 0);
    while (!this.#isFinishing) {
      const partition = client.random.below(topic.partitions);
      // Now and then from the beginning: what was served once must stay (I9).
      const from = client.random.chance(0.03) ? 0 : (next[partition] ?? 0);
      const records = await this.#fetch(client, topic.name, partition, from);
      const last = records?.at(-1);
      if (last !== undefined) next[partition] = Math.max(next[partition] ?? 0, last.offset + 1);
      await client.pause(200);
    }
  }

  async #fetch(
    client: ClusterClient,
    topic: string,
    partition: number,
    from: number,
  ): Promise<readonly SeenRecord[] | undefined> {
    const knownEnd = this.history.knownEnd(topic, partition);
    const answer = await client.fetch(topic, partition, from);
    if (answer?.errorCode === OFFSET_OUT_OF_RANGE) {
      this.#world.violate(`I8: ${topic}-${partition}: offset ${from} was known and is out of range`);
    }
    if (answer?.errorCode !== NONE) return undefined;
    this.history.fetched(topic, partition, from, knownEnd, answer);
    return answer.records;
  }

  async #drainTopic(topic: SimTopic): Promise<void> {
    const client = this.#client(`${topic.name}.drain`);
    const producerId = await this.#producerId(client);
    for (let partition = 0; partition < topic.partitions; partition++) {
      if (!(await this.#send(client, topic, partition, producerId, 0, 1))) continue;
      const end = this.history.knownEnd(topic.name, partition);
      const records: SeenRecord[] = [];
      while (records.length < end) {
        const read = await this.#fetch(client, topic.name, partition, records.length);
        if (read === undefined) await client.pause(300);
        else records.push(...read);
      }
      this.history.drained(topic.name, partition, records);
    }
  }
}
