import { invariant } from './errors.ts';

/**
 * One configured amount of memory, divided into named shares. A share never lends to another, so a flood in
 * one place (slow consumers, a cold scan) cannot take the memory that keeps the tail running (invariant I36).
 */
export class MemoryBudget {
  readonly totalBytes: number;
  readonly #shares = new Map<string, MemoryShare>();
  #dividedBytes = 0;

  constructor(totalBytes: number) {
    this.totalBytes = totalBytes;
  }

  /** Sets aside `limitBytes` under a name of its own. */
  share(name: string, limitBytes: number): MemoryShare {
    invariant(!this.#shares.has(name), 'I36', 'a memory share has one owner', { name });
    invariant(this.#dividedBytes + limitBytes <= this.totalBytes, 'I36', 'memory shares exceed the budget', {
      name,
      limitBytes,
      totalBytes: this.totalBytes,
    });
    this.#dividedBytes += limitBytes;
    const share = new MemoryShare(name, limitBytes);
    this.#shares.set(name, share);
    return share;
  }

  get shares(): readonly MemoryShare[] {
    return [...this.#shares.values()];
  }

  get usedBytes(): number {
    return this.shares.reduce((sum, share) => sum + share.usedBytes, 0);
  }
}

interface Waiter {
  readonly bytes: number;
  readonly grant: () => void;
}

/** A counted amount of memory with first-come, first-served waiting. Counts; owns no buffers. */
export class MemoryShare {
  readonly name: string;
  readonly limitBytes: number;
  #usedBytes = 0;
  readonly #waiters: Waiter[] = [];

  constructor(name: string, limitBytes: number) {
    this.name = name;
    this.limitBytes = limitBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  get waiting(): number {
    return this.#waiters.length;
  }

  /** Takes `bytes` if they are free and nobody waits for memory already. */
  tryTake(bytes: number): boolean {
    if (this.#waiters.length > 0 || !this.#fits(bytes)) return false;
    this.#usedBytes += bytes;
    return true;
  }

  /**
   * Takes `bytes`, waiting behind earlier callers until they are free; undefined means "taken at once", so the
   * hot path needs no promise. One request larger than the whole share is granted when nothing else is in use.
   */
  take(bytes: number): Promise<void> | undefined {
    if (this.tryTake(bytes)) return undefined;
    return new Promise((grant) => this.#waiters.push({ bytes, grant }));
  }

  release(bytes: number): void {
    this.#usedBytes -= bytes;
    invariant(this.#usedBytes >= 0, 'I36', 'a memory share got back more than it gave', { share: this.name });
    while (this.#waiters[0] !== undefined && this.#fits(this.#waiters[0].bytes)) {
      const waiter = this.#waiters.shift();
      if (waiter === undefined) return;
      this.#usedBytes += waiter.bytes;
      waiter.grant();
    }
  }

  #fits(bytes: number): boolean {
    return this.#usedBytes + bytes <= this.limitBytes || this.#usedBytes === 0;
  }
}
