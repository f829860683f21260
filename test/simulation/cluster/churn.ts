import { type ClusterClient, NONE } from './cluster-client.ts';
import { createTopic, deleteTopic } from './requests.ts';

const DELETED_SHARE = 0.6;
const MAX_BATCHES = 4;
const BATCH_RECORDS = 2;
const PAUSE_MS = 1_000;
const DELETED_LOOKS = 5;

type Fate = 'kept' | 'asked' | 'gone';

/** What it needs of the workload it is part of. */
interface Deeds {
  producerId(client: ClusterClient): Promise<number>;
  send(
    client: ClusterClient,
    topic: string,
    partition: number,
    producerId: number,
    baseSequence: number,
    count: number,
  ): Promise<boolean>;
  drainPartition(client: ClusterClient, topic: string, partition: number): Promise<void>;
  violate(what: string): void;
}

/** Topics that come, get records and mostly go, under faults. */
export class Churn {
  readonly #workload: Deeds;
  readonly #client: ClusterClient;
  readonly #name: string;
  readonly #fates = new Map<string, Fate>();

  constructor(workload: Deeds, client: ClusterClient, name: string) {
    this.#workload = workload;
    this.#client = client;
    this.#name = name;
  }

  get deleted(): number {
    return [...this.#fates.values()].filter((fate) => fate === 'gone').length;
  }

  async run(isFinishing: () => boolean): Promise<void> {
    const producerId = await this.#workload.producerId(this.#client);
    for (let n = 0; !isFinishing(); n++) {
      const topic = `${this.#name}-${n}`;
      let isSure = true;
      while (!(await createTopic(this.#client, topic, 1))) {
        isSure = false;
        await this.#client.pause(500);
      }
      this.#fates.set(topic, 'kept');
      const batches = this.#client.random.between(1, MAX_BATCHES);
      for (let at = 0; at < batches; at++) {
        await this.#workload.send(this.#client, topic, 0, producerId, at * BATCH_RECORDS, BATCH_RECORDS);
      }
      await this.#client.pause(PAUSE_MS);
      if (this.#client.random.chance(DELETED_SHARE)) await this.#delete(topic, isSure);
    }
  }

  /** After a creation that was not answered, and may still be on its way, the topic may come back: nobody looks. */
  async #delete(topic: string, isSure: boolean): Promise<void> {
    this.#fates.set(topic, 'asked');
    while (!(await deleteTopic(this.#client, topic))) await this.#client.pause(500);
    if (isSure) this.#fates.set(topic, 'gone');
  }

  /** Its leader may hear of the deletion a moment after the client was told. */
  async #isStillServed(topic: string): Promise<boolean> {
    for (let look = 0; look < DELETED_LOOKS; look++) {
      const answer = await this.#client.fetch(topic, 0, 0);
      if (answer?.errorCode !== NONE) return false;
      await this.#client.pause(PAUSE_MS);
    }
    return true;
  }

  /** Those nobody asked to delete are whole; those that were deleted answer nothing (I38). */
  async drain(): Promise<void> {
    for (const [topic, fate] of this.#fates) {
      if (fate === 'kept') await this.#workload.drainPartition(this.#client, topic, 0);
      if (fate === 'gone' && (await this.#isStillServed(topic))) {
        this.#workload.violate(`I38: ${topic} was deleted and is served`);
      }
    }
  }
}
