import type { Commands } from './commands.ts';

/** Ids taken from the controller at a time (Kafka's `ProducerIdsBlock`): small requests cost one entry for so many. */
const BLOCK_IDS = 1_000;

/** Producer ids that were never used before, not even by a process that died: what is left of its block is skipped. */
export class ProducerIdBlocks {
  readonly #commands: Commands;
  #next = 0;
  #end = 0;
  #refill: Promise<void> | undefined;

  constructor(commands: Commands) {
    this.#commands = commands;
  }

  /** The first of `count` consecutive ids. */
  async allocate(count: number): Promise<number> {
    if (!Number.isSafeInteger(count) || count < 1) {
      throw new RangeError(`${count} producer ids were asked for; at least 1 is needed`);
    }
    if (count >= BLOCK_IDS) return this.#reserve(count);
    while (this.#end - this.#next < count) {
      this.#refill ??= this.#takeBlock().finally(() => (this.#refill = undefined));
      await this.#refill;
    }
    const first = this.#next;
    this.#next += count;
    return first;
  }

  async #takeBlock(): Promise<void> {
    const first = await this.#reserve(BLOCK_IDS);
    this.#next = first;
    this.#end = first + BLOCK_IDS;
  }

  #reserve(count: number): Promise<number> {
    return this.#commands.send('producer-ids.allocate', { count });
  }
}
