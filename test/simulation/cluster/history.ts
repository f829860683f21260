import type { FetchAnswer, SeenRecord } from './cluster-client.ts';

/** A value says who it is, so that bytes in the wrong place betray themselves (I34). */
export function valueOf(topic: string, partition: number, producer: string, counter: number): string {
  return [topic, partition, producer, counter].join('|');
}

interface PartitionHistory {
  readonly topic: string;
  readonly partition: number;
  readonly valueAt: Map<number, string>;
  readonly offsetOf: Map<string, number>;
  readonly acked: Map<number, string>;
  /** One past the greatest offset that anybody was told of by an acknowledgement or a read. */
  end: number;
  /** Newest acknowledged counter and offset of each producer. */
  readonly newest: Map<string, { counter: number; offset: number }>;
}

/**
 * What clients were told, checked while they are told it: one value at each offset and one offset for each value (I2,
 * I6, I14), acknowledgements that grow (I4), offsets without gaps (I3), a high watermark that never goes back behind
 * what somebody was told before he asked (I8), bytes of their own topic (I34). At the end: nothing acknowledged is
 * missing (I1), and each producer's records stand in its order (I15).
 */
export class ClusterHistory {
  acknowledged = 0;
  read = 0;
  readonly #violate: (what: string) => void;
  readonly #partitions = new Map<string, PartitionHistory>();

  constructor(violate: (what: string) => void) {
    this.#violate = violate;
  }

  /** Everything below it was told to somebody: what is asked from now on may not say less. */
  knownEnd(topic: string, partition: number): number {
    return this.#of(topic, partition).end;
  }

  acked(
    topic: string,
    partition: number,
    producer: string,
    counter: number,
    values: readonly string[],
    baseOffset: number,
  ): void {
    const history = this.#of(topic, partition);
    const newest = history.newest.get(producer);
    if (newest !== undefined && baseOffset <= newest.offset) {
      this.#violate(
        `I4: ${topic}-${partition}: ${producer} was acknowledged ${counter} at ${baseOffset}, after ${newest.counter} at ${newest.offset}`,
      );
    }
    values.forEach((value, n) => {
      this.#place(history, baseOffset + n, value, 'acknowledged');
      history.acked.set(baseOffset + n, value);
      this.acknowledged++;
    });
    const last = values.length - 1;
    history.newest.set(producer, { counter: counter + last, offset: baseOffset + last });
  }

  /** One answer of a fetch from `fetchOffset`, of one who knew of `knownEnd` before he asked. */
  fetched(
    topic: string,
    partition: number,
    fetchOffset: number,
    knownEnd: number,
    answer: FetchAnswer,
  ): void {
    const history = this.#of(topic, partition);
    let expected = fetchOffset;
    for (const { offset, value } of answer.records) {
      if (offset !== expected)
        this.#violate(`I3: ${topic}-${partition}: ${offset} came where ${expected} was due`);
      expected = offset + 1;
      if (offset >= answer.highWatermark) {
        this.#violate(
          `I9: ${topic}-${partition}: offset ${offset} was served, the high watermark is ${answer.highWatermark}`,
        );
      }
      this.#place(history, offset, value, 'read');
      this.read++;
    }
    if (answer.highWatermark < knownEnd) {
      this.#violate(
        `I8: ${topic}-${partition}: the high watermark is ${answer.highWatermark}, somebody was told of ${knownEnd - 1} before`,
      );
    }
  }

  /** The whole of a partition, read after everything healed. */
  drained(topic: string, partition: number, records: readonly SeenRecord[]): void {
    const history = this.#of(topic, partition);
    const found = new Map(records.map(({ offset, value }) => [offset, value]));
    for (const [offset, value] of history.valueAt) {
      if (found.get(offset) === value) continue;
      const kind = history.acked.has(offset) ? 'I1: acknowledged' : 'I9: read before';
      this.#violate(
        `${kind} and lost: ${topic}-${partition} offset ${offset} was ${value}, is ${found.get(offset) ?? 'gone'}`,
      );
    }
    const newest = new Map<string, number>();
    records.forEach(({ offset, value }, n) => {
      if (offset !== n) this.#violate(`I3: ${topic}-${partition}: record ${n} has offset ${offset}`);
      this.#place(history, offset, value, 'drained');
      const [, , producer = '', counter] = value.split('|');
      const due = (newest.get(producer) ?? -1) + 1;
      if (Number(counter) !== due) {
        this.#violate(`I15: ${topic}-${partition}: ${value} at ${offset}, ${due} of this producer was due`);
      }
      newest.set(producer, Number(counter));
    });
  }

  #place(history: PartitionHistory, offset: number, value: string, how: string): void {
    const { topic, partition, valueAt, offsetOf } = history;
    if (!value.startsWith(`${topic}|${partition}|`)) {
      this.#violate(`I34: ${topic}-${partition}: ${value} was ${how} at ${offset}`);
    }
    const known = valueAt.get(offset);
    if (known !== undefined && known !== value) {
      this.#violate(
        `I2: ${topic}-${partition} offset ${offset}: ${value} was ${how}, ${known} was there before`,
      );
    }
    const place = offsetOf.get(value);
    if (place !== undefined && place !== offset) {
      this.#violate(`I14: ${topic}-${partition}: ${value} was ${how} at ${offset}, and stands at ${place}`);
    }
    valueAt.set(offset, value);
    offsetOf.set(value, offset);
    history.end = Math.max(history.end, offset + 1);
  }

  #of(topic: string, partition: number): PartitionHistory {
    const key = `${topic}/${partition}`;
    const known = this.#partitions.get(key);
    if (known !== undefined) return known;
    const history = {
      topic,
      partition,
      valueAt: new Map<number, string>(),
      offsetOf: new Map<string, number>(),
      acked: new Map<number, string>(),
      end: 0,
      newest: new Map<string, { counter: number; offset: number }>(),
    };
    this.#partitions.set(key, history);
    return history;
  }
}
