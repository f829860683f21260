import type { Clock, Timer } from '../../../broker-runtime/src/ports/clock.ts';
import type { SimRandom } from './sim-random.ts';

interface Due {
  readonly atMs: number;
  /** Orders what is due at the same moment: by the seed, or first come, first served. */
  readonly tieBreak: number;
  readonly sequence: number;
  readonly fire: () => void;
  cancelled: boolean;
}

/** 2026-01-01T00:00:00Z, so that stamps in failing tests are recognisable. */
const START_WALL_MS = 1_767_225_600_000;

/**
 * Time that moves only when the test says so. Due timers fire in the order of their time; ties are broken by
 * `random` when given, so a seed also explores orders that a real loop rarely shows. After every timer all
 * promise reactions run to the end before the next one fires.
 *
 * `afterTurn` tasks run, in order, once nothing else is due at the current moment.
 */
export class SimClock implements Clock {
  #nowMs = 0;
  #wallOffsetMs = START_WALL_MS;
  #sequence = 0;
  readonly #random: SimRandom | undefined;
  /** A binary heap, earliest first. */
  readonly #heap: Due[] = [];
  #afterTurn: (() => void)[] = [];
  #fired = 0;
  #fingerprint = 0x811c_9dc5;

  constructor(random?: SimRandom) {
    this.#random = random;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return Math.floor(this.#nowMs + this.#wallOffsetMs);
  }

  timer(delayMs: number, fire: () => void): Timer {
    const due: Due = {
      atMs: this.#nowMs + Math.max(0, delayMs),
      tieBreak: this.#random === undefined ? 0 : this.#random.below(0x1_0000_0000),
      sequence: this.#sequence++,
      fire,
      cancelled: false,
    };
    this.#push(due);
    return {
      cancel: () => {
        due.cancelled = true;
      },
    };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const rejectWithReason = (): void => {
        reject(signal?.reason instanceof Error ? signal.reason : new Error(String(signal?.reason)));
      };
      if (signal?.aborted === true) {
        rejectWithReason();
        return;
      }
      const onAbort = (): void => {
        timer.cancel();
        rejectWithReason();
      };
      const timer = this.timer(delayMs, () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      });
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  afterTurn(task: () => void): void {
    this.#afterTurn.push(task);
  }

  /** Makes the wall clock jump; the monotonic clock does not notice. */
  jumpWall(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }

  /** Of everything that happened so far and when: two runs of one seed must show the same. */
  get fingerprint(): string {
    return `${this.#fired}:${this.#fingerprint.toString(16)}`;
  }

  /** Timers that would still fire. */
  get pendingTimers(): number {
    return this.#heap.filter((due) => !due.cancelled).length;
  }

  /** Lets `ms` pass: everything that becomes due on the way happens, in order, with all its consequences. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await this.settle();
    for (let next = this.#popDue(untilMs); next !== undefined; next = this.#popDue(untilMs)) {
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.fire();
      await drainMicrotasks();
      if (!this.#isDue(this.#nowMs)) await this.settle();
    }
    this.#nowMs = untilMs;
  }

  /** Lets everything happen that needs no time: promise reactions and `afterTurn` tasks. */
  async settle(): Promise<void> {
    await drainMicrotasks();
    while (this.#afterTurn.length > 0) {
      const tasks = this.#afterTurn;
      this.#afterTurn = [];
      for (const task of tasks) task();
      await drainMicrotasks();
    }
  }

  /**
   * Lets time pass from event to event until `work` settles, and returns what it returned.
   * @throws {Error} when it is not settled after `limitMs`, or when nothing is left that could settle it
   */
  async run<T>(work: Promise<T>, limitMs = 600_000): Promise<T> {
    const state = { settled: false };
    const markSettled = (): void => {
      state.settled = true;
    };
    work.then(markSettled, markSettled);
    const untilMs = this.#nowMs + limitMs;
    await this.settle();
    while (!state.settled) {
      const next = this.#popDue(untilMs);
      if (next === undefined) {
        throw new Error(
          this.pendingTimers === 0
            ? 'the work is not settled and no timer is left that could settle it'
            : `the work is not settled after ${limitMs} ms of simulated time`,
        );
      }
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.fire();
      await drainMicrotasks();
      if (!this.#isDue(this.#nowMs)) await this.settle();
    }
    return work;
  }

  #isDue(atMs: number): boolean {
    const first = this.#heap[0];
    return first !== undefined && first.atMs <= atMs;
  }

  #popDue(untilMs: number): Due | undefined {
    for (;;) {
      if (!this.#isDue(untilMs)) return undefined;
      const due = this.#pop();
      if (due?.cancelled === true) continue;
      if (due !== undefined) this.#note(due);
      return due;
    }
  }

  #note(due: Due): void {
    this.#fired++;
    // FNV-1a over time and order, 32 bits.
    for (const word of [Math.round(due.atMs * 1000) >>> 0, due.sequence >>> 0]) {
      this.#fingerprint = Math.imul(this.#fingerprint ^ word, 0x0100_0193) >>> 0;
    }
  }

  #push(due: Due): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(due);
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = heap[parentAt];
      if (parent === undefined || !isBefore(due, parent)) break;
      heap[at] = parent;
      at = parentAt;
    }
    heap[at] = due;
  }

  #pop(): Due | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let childAt = 2 * at + 1;
      let child = heap[childAt];
      if (child === undefined) break;
      const right = heap[childAt + 1];
      if (right !== undefined && isBefore(right, child)) {
        child = right;
        childAt++;
      }
      if (!isBefore(child, last)) break;
      heap[at] = child;
      at = childAt;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: Due, b: Due): boolean {
  if (a.atMs !== b.atMs) return a.atMs < b.atMs;
  if (a.tieBreak !== b.tieBreak) return a.tieBreak < b.tieBreak;
  return a.sequence < b.sequence;
}

/** A tick queued from a promise reaction runs once no reaction is left. */
function drainMicrotasks(): Promise<void> {
  return new Promise((resolve) => {
    process.nextTick(resolve);
  });
}
