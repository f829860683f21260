interface Register {
  /** The newest commit that was acknowledged; -1: none. */
  acked: number;
  /** Asked for since, and those never answered: one that was on its way may still happen (as with Kafka). */
  readonly possible: Set<number>;
}

/**
 * What the committers of groups were told (I16). One writes each place, always a greater offset, and repeats it until
 * it is acknowledged. What is read is the newest acknowledged commit or a greater one, or one whose request never ended.
 */
export class GroupHistory {
  commits = 0;
  readonly #violate: (what: string) => void;
  readonly #registers = new Map<string, Register>();

  constructor(violate: (what: string) => void) {
    this.#violate = violate;
  }

  asked(place: string, offset: number): void {
    this.#of(place).possible.add(offset);
  }

  /** `isRepeated`: an earlier request for the same offset was not answered, and may be on its way. */
  acked(place: string, offset: number, isRepeated: boolean): void {
    const register = this.#of(place);
    if (offset < register.acked) {
      this.#violate(`I16: ${place}: ${offset} was committed after ${register.acked}`);
    }
    this.commits++;
    register.acked = offset;
    if (!isRepeated) register.possible.delete(offset);
  }

  /** The least that an answer to a question asked now may say, unless it is of a commit that never ended. */
  known(place: string): number {
    return this.#of(place).acked;
  }

  /** `known` is what {@link known} said before it was asked. */
  found(place: string, known: number, offset: number): void {
    const register = this.#of(place);
    if ((offset >= known && offset <= register.acked) || register.possible.has(offset)) return;
    this.#violate(`I16: ${place}: ${offset} is committed, ${known} was acknowledged before`);
  }

  #of(place: string): Register {
    const known = this.#registers.get(place);
    if (known !== undefined) return known;
    const register = { acked: -1, possible: new Set<number>() };
    this.#registers.set(place, register);
    return register;
  }
}
