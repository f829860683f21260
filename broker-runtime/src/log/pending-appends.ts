const ALREADY: Promise<void> = Promise.resolve();

interface PendingGroup {
  endOffset: number;
  readonly durable: Promise<void>;
}

/** Appended but not yet durable: who may be answered when. One entry per WAL group, so it stays short. */
export class PendingAppends {
  readonly #groups: PendingGroup[] = [];

  add(endOffset: number, durable: Promise<void>): void {
    const last = this.#groups.at(-1);
    if (last?.durable === durable) last.endOffset = endOffset;
    else this.#groups.push({ endOffset, durable });
  }

  /** Settles with the group that carries the record at `offset`; already done when that is durable. */
  durable(offset: number): Promise<void> {
    return this.#groups.find((group) => offset < group.endOffset)?.durable ?? ALREADY;
  }

  drop(durableOffset: number): void {
    while ((this.#groups[0]?.endOffset ?? Infinity) <= durableOffset) this.#groups.shift();
  }
}
