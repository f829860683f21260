import type { Address } from '../../../broker-runtime/src/ports/network.ts';
import { type ClusterClient, NONE } from './cluster-client.ts';
import type { GroupHistory } from './group-history.ts';
import { commitOffset, committedOffset, findCoordinator } from './requests.ts';

const LOOK_SHARE = 0.3;
const PAUSE_MS = 500;

/** A consumer that only commits: 0, 1, 2, ... for each partition, each until it is acknowledged. */
export class GroupWork {
  readonly #client: ClusterClient;
  readonly #history: GroupHistory;
  readonly #group: string;
  readonly #topic: { readonly name: string; readonly partitions: number };
  #coordinator: Address | undefined;

  constructor(
    client: ClusterClient,
    history: GroupHistory,
    group: string,
    topic: { readonly name: string; readonly partitions: number },
  ) {
    this.#client = client;
    this.#history = history;
    this.#group = group;
    this.#topic = topic;
  }

  async run(isFinishing: () => boolean): Promise<void> {
    const next = Array.from({ length: this.#topic.partitions }, () => 0);
    while (!isFinishing()) {
      const partition = this.#client.random.below(this.#topic.partitions);
      await this.#commit(partition, next[partition] ?? 0);
      next[partition] = (next[partition] ?? 0) + 1;
      if (this.#client.random.chance(LOOK_SHARE)) await this.#look(partition);
      await this.#client.pause(PAUSE_MS);
    }
  }

  /** After everything healed every partition's commit is told (I37), and is the last one. */
  async check(): Promise<void> {
    for (let partition = 0; partition < this.#topic.partitions; partition++) {
      while (!(await this.#look(partition))) await this.#client.pause(PAUSE_MS);
    }
  }

  async #commit(partition: number, offset: number): Promise<void> {
    const place = this.#placeOf(partition);
    this.#history.asked(place, offset);
    for (let isUnsure = false; ;) {
      const errorCode = await this.#ask((coordinator) =>
        commitOffset(this.#client, coordinator, this.#group, this.#topic.name, partition, offset),
      );
      if (errorCode === NONE) {
        this.#history.acked(place, offset, isUnsure);
        return;
      }
      isUnsure ||= errorCode === undefined;
      this.#coordinator = undefined;
      await this.#client.pause(PAUSE_MS);
    }
  }

  async #look(partition: number): Promise<boolean> {
    const place = this.#placeOf(partition);
    const known = this.#history.known(place);
    const found = await this.#ask((coordinator) =>
      committedOffset(this.#client, coordinator, this.#group, this.#topic.name, partition),
    );
    if (found === undefined) this.#coordinator = undefined;
    else this.#history.found(place, known, found);
    return found !== undefined;
  }

  async #ask<T>(question: (coordinator: Address) => Promise<T | undefined>): Promise<T | undefined> {
    this.#coordinator ??= await findCoordinator(this.#client, this.#group);
    return this.#coordinator === undefined ? undefined : question(this.#coordinator);
  }

  #placeOf(partition: number): string {
    return `${this.#group}/${this.#topic.name}-${partition}`;
  }
}
