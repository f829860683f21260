import type { FenceRecord } from './fence-record.ts';

export interface FenceCheckOptions {
  readonly read: () => Promise<FenceRecord | undefined>;
  /** Throws when the log is not ours any more. */
  readonly check: (fence: FenceRecord | undefined) => void;
  /** Every read up to and including number `round` said that the log is ours. */
  readonly onProven: (round: number) => void;
  /** The fence is lost, cannot be understood, or `onProven` threw; no read follows. */
  readonly onError: (error: unknown) => void;
}

/**
 * The ack rule (protocol 3.5): an object may be acknowledged when a read of the fence that *started* after its put had
 * finished says that the log is still ours. Whoever takes the log over fences first and lists afterwards, so what was
 * there before such a read is there when he lists.
 *
 * One read proves everything that was finished before it started. At most one is under way and one is to follow it,
 * however many puts finish: a read takes about as long as a small put, so this costs no more reads than puts.
 */
export class FenceCheck {
  readonly #options: FenceCheckOptions;
  #started = 0;
  #isReading = false;
  #isWanted = false;
  #isOver = false;

  constructor(options: FenceCheckOptions) {
    this.#options = options;
  }

  /** @returns the number of the read that will prove what is finished now */
  ask(): number {
    if (this.#isReading) {
      // The one under way may have been answered before: it proves nothing about what finished just now.
      this.#isWanted = true;
      return this.#started + 1;
    }
    this.#start();
    return this.#started;
  }

  stop(): void {
    this.#isOver = true;
  }

  #start(): void {
    this.#started++;
    this.#isReading = true;
    this.#isWanted = false;
    void this.#read(this.#started);
  }

  /** Never rejects. */
  async #read(round: number): Promise<void> {
    const { read, check, onProven, onError } = this.#options;
    try {
      const fence = await read();
      // While it was awaited the log may have failed for another reason: then nothing is acknowledged any more.
      if (this.#isOver) return;
      check(fence);
      this.#isReading = false;
      if (this.#isWanted) this.#start();
      onProven(round);
    } catch (error) {
      if (this.#isOver) return;
      this.#isOver = true;
      onError(error);
    }
  }
}
