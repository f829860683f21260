/** One committed offset as OffsetFetch returns it. */
export interface CommittedOffset {
  readonly offset: number;
  /** -1: unknown. */
  readonly leaderEpoch: number;
  readonly metadata: string;
  readonly commitWallMs: number;
}

export interface OffsetKey {
  readonly topic: string;
  readonly partition: number;
}

interface Register {
  committed: CommittedOffset | undefined;
  /** Where in the log the newest record that was applied stands: an older one never overwrites it. */
  logOffset: number;
  /** Records appended and not yet durable. */
  inFlight: number;
}

/**
 * The offsets of one group: per partition a register that holds the last commit that is durable, which is the last
 * one that was acknowledged (I16). A commit passes through `begin` when it is appended and `settle` when it is
 * durable; nobody sees it in between.
 */
export class GroupOffsets {
  readonly #topics = new Map<string, Map<number, Register>>();

  get isEmpty(): boolean {
    return this.#topics.size === 0;
  }

  get(topic: string, partition: number): CommittedOffset | undefined {
    return this.#topics.get(topic)?.get(partition)?.committed;
  }

  /** What is committed, by topic. */
  *committed(): Generator<OffsetKey & { readonly committed: CommittedOffset }> {
    for (const [topic, registers] of this.#topics) {
      for (const [partition, { committed }] of registers) {
        if (committed !== undefined) yield { topic, partition, committed };
      }
    }
  }

  /** Everything the log holds or will hold: what a deletion must cover. */
  keys(topics?: ReadonlySet<string>): readonly OffsetKey[] {
    return [...this.#topics]
      .filter(([topic]) => topics === undefined || topics.has(topic))
      .flatMap(([topic, registers]) => [...registers.keys()].map((partition) => ({ topic, partition })));
  }

  /** What `isExpired` says of the committed offsets; those being committed again at this moment are spared. */
  expired(isExpired: (topic: string, committed: CommittedOffset) => boolean): readonly OffsetKey[] {
    const keys: OffsetKey[] = [];
    for (const [topic, registers] of this.#topics) {
      for (const [partition, { committed, inFlight }] of registers) {
        if (inFlight === 0 && committed !== undefined && isExpired(topic, committed)) {
          keys.push({ topic, partition });
        }
      }
    }
    return keys;
  }

  /** A record for this partition was appended. */
  begin({ topic, partition }: OffsetKey): void {
    this.#register(topic, partition).inFlight++;
  }

  /** The record is durable at `logOffset`; undefined when it deletes the offset. */
  settle({ topic, partition }: OffsetKey, logOffset: number, committed: CommittedOffset | undefined): void {
    const register = this.#register(topic, partition);
    register.inFlight--;
    this.#apply(register, logOffset, committed);
    this.#forgetIfUnused(topic, partition, register);
  }

  /** The record will never be durable. */
  abandon({ topic, partition }: OffsetKey): void {
    const register = this.#register(topic, partition);
    register.inFlight--;
    this.#forgetIfUnused(topic, partition, register);
  }

  /** A record found in the log when the group is loaded. */
  restore({ topic, partition }: OffsetKey, logOffset: number, committed: CommittedOffset | undefined): void {
    const register = this.#register(topic, partition);
    this.#apply(register, logOffset, committed);
    this.#forgetIfUnused(topic, partition, register);
  }

  #apply(register: Register, logOffset: number, committed: CommittedOffset | undefined): void {
    if (logOffset <= register.logOffset) return;
    register.logOffset = logOffset;
    register.committed = committed;
  }

  #register(topic: string, partition: number): Register {
    let registers = this.#topics.get(topic);
    if (registers === undefined) this.#topics.set(topic, (registers = new Map<number, Register>()));
    let register = registers.get(partition);
    if (register === undefined) {
      register = { committed: undefined, logOffset: -1, inFlight: 0 };
      registers.set(partition, register);
    }
    return register;
  }

  #forgetIfUnused(topic: string, partition: number, register: Register): void {
    if (register.committed !== undefined || register.inFlight > 0) return;
    const registers = this.#topics.get(topic);
    registers?.delete(partition);
    if (registers?.size === 0) this.#topics.delete(topic);
  }
}
