import type { Operation } from '../history/operation.ts';

const BUCKETS_MAX = 240;
const FIRST_BUCKET_MS = 100;

export interface ThroughputSeries {
  readonly bucketMs: number;
  /** Records acknowledged in each bucket, from the beginning of the history. */
  readonly acknowledged: readonly number[];
  /** Records read, drain included. */
  readonly read: readonly number[];
}

/** How much flowed when, in a fixed number of buckets: they double their width when the history outgrows them. */
export class Throughput {
  #bucketMs = FIRST_BUCKET_MS;
  #acknowledged: number[] = [];
  #read: number[] = [];

  add({ f, type, t1, ops }: Operation): void {
    if (type !== 'ok' || (f !== 'send' && f !== 'poll')) return;
    while (t1 >= this.#bucketMs * BUCKETS_MAX) this.#double();
    const at = Math.max(0, Math.floor(t1 / this.#bucketMs));
    const series = f === 'send' ? this.#acknowledged : this.#read;
    const records = ops.reduce((sum, { value }) => sum + (value === undefined ? 0 : 1), 0);
    series[at] = (series[at] ?? 0) + records;
  }

  get series(): ThroughputSeries {
    const buckets = Math.max(this.#acknowledged.length, this.#read.length);
    const filled = (series: readonly number[]) => Array.from({ length: buckets }, (_, n) => series[n] ?? 0);
    return { bucketMs: this.#bucketMs, acknowledged: filled(this.#acknowledged), read: filled(this.#read) };
  }

  #double(): void {
    const halve = (series: readonly number[]) =>
      Array.from(
        { length: Math.ceil(series.length / 2) },
        (_, n) => (series[2 * n] ?? 0) + (series[2 * n + 1] ?? 0),
      );
    this.#acknowledged = halve(this.#acknowledged);
    this.#read = halve(this.#read);
    this.#bucketMs *= 2;
  }
}
