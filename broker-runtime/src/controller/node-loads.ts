import { busyMicros, type NodeLoad } from '../metadata/node-load.ts';
import type { Clock } from '../ports/clock.ts';

/** Brokers report every five seconds; a partition that nobody reported for so long is taken for idle. */
const FORGET_MS = 20_000;

interface Known {
  readonly busyMicros: number;
  readonly atMs: number;
}

/**
 * How busy partitions are, as their leaders told last. A partition that moves keeps what is known of it until its new
 * leader has measured it: else the new leader would look idle, and get too much. Bounded by what brokers report.
 */
export class NodeLoads {
  readonly #clock: Clock;
  readonly #partitions = new Map<string, Known>();
  #prunedAtMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  report(load: NodeLoad): void {
    const atMs = this.#clock.monotonicMs();
    for (const rate of load) {
      this.#partitions.set(keyOf(rate.topicId, rate.index), { busyMicros: busyMicros(rate), atMs });
    }
    if (atMs - this.#prunedAtMs < FORGET_MS) return;
    this.#prunedAtMs = atMs;
    for (const [key, known] of this.#partitions) {
      if (atMs - known.atMs > FORGET_MS) this.#partitions.delete(key);
    }
  }

  /** Millionths of a core; 0: idle, or nobody told. */
  busyMicros(topicId: string, index: number): number {
    const known = this.#partitions.get(keyOf(topicId, index));
    return known === undefined || this.#clock.monotonicMs() - known.atMs > FORGET_MS ? 0 : known.busyMicros;
  }
}

function keyOf(topicId: string, index: number): string {
  return `${topicId}/${index}`;
}
