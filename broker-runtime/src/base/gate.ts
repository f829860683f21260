import { invariant } from './errors.ts';

/** Lets so many through at once; the others wait in the order they came. */
export class Gate {
  readonly limit: number;
  #inside = 0;
  readonly #waiting: (() => void)[] = [];
  readonly #whenIdle: (() => void)[] = [];

  constructor(limit: number) {
    this.limit = limit;
  }

  get inside(): number {
    return this.#inside;
  }

  /** Undefined: entered at once. */
  enter(): Promise<void> | undefined {
    if (this.#inside < this.limit) {
      this.#inside++;
      return undefined;
    }
    return new Promise((enter) => this.#waiting.push(enter));
  }

  /** Hands the place to the first in line, so nobody can slip in between. */
  leave(): void {
    const next = this.#waiting.shift();
    if (next !== undefined) {
      next();
      return;
    }
    this.#inside--;
    invariant(this.#inside >= 0, 'I36', 'a gate was left more often than entered');
    if (this.#inside === 0) for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    // Without an await when there is room: work that was let in has begun when `run` returns.
    const waiting = this.enter();
    if (waiting !== undefined) await waiting;
    try {
      return await work();
    } finally {
      this.leave();
    }
  }

  /** Resolves when nobody is inside or waits. */
  async idle(): Promise<void> {
    if (this.#inside > 0) await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }
}
