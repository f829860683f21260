import type { ClusterMetadata } from '../metadata/cluster-metadata.ts';

/** Ids taken from the metadata at a time, as Kafka does: one journal entry for so many producers. */
const BLOCK_SIZE = 1000;

/** Hands out producer ids that were never used, from blocks of this broker's own. A restart skips the rest of a block. */
export class ProducerIds {
  readonly #metadata: Pick<ClusterMetadata, 'allocateProducerIds'>;
  #next = 0;
  #end = 0;
  #refill: Promise<void> | undefined;

  constructor(metadata: Pick<ClusterMetadata, 'allocateProducerIds'>) {
    this.#metadata = metadata;
  }

  async next(): Promise<number> {
    while (this.#next === this.#end) {
      this.#refill ??= this.#takeBlock().finally(() => (this.#refill = undefined));
      await this.#refill;
    }
    return this.#next++;
  }

  async #takeBlock(): Promise<void> {
    const first = await this.#metadata.allocateProducerIds(BLOCK_SIZE);
    this.#next = first;
    this.#end = first + BLOCK_SIZE;
  }
}
