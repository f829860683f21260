import type { FetchAnswer, SeenRecord } from './cluster-client.ts';
import { greatestStart, type Known, newHistory, type PartitionHistory } from './partition-history.ts';
import { keyOf, RETAINED_BYTES, type TopicKind } from './topic-kinds.ts';

/** The whole of a partition, read after everything healed. */
export interface Drained {
  /** Before the first read: the log may be trimmed while it is read. */
  readonly known: Known;
  readonly startOffset: number;
  readonly records: readonly SeenRecord[];
  /** Of the batches. */
  readonly bytes: number;
}

/**
 * What clients were told, checked while they are told it: one value at each offset and one offset for each value (I2,
 * I6, I14), acknowledgements that grow (I4), offsets without gaps (I3), a high watermark and a start of the log that
 * never go back behind what somebody was told before he asked (I8), bytes of their own topic (I34). At the end: nothing
 * acknowledged is missing (I1) but what was trimmed, below the start of the log, and what a newer record of its key
 * superseded in a compacted topic (I39); and each producer's records stand in its order (I15).
 */
export class ClusterHistory {
  acknowledged = 0;
  read = 0;
  /** Records that the last reads found below the start of the log, and superseded by newer ones. */
  trimmed = 0;
  superseded = 0;
  readonly #violate: (what: string) => void;
  readonly #kinds = new Map<string, TopicKind>();
  readonly #acknowledgedOf = new Map<string, number>();
  readonly #partitions = new Map<string, PartitionHistory>();

  constructor(violate: (what: string) => void) {
    this.#violate = violate;
  }

  /** What happens to the records of the topic; said before anything else of it. Default: they are kept. */
  expect(topic: string, kind: TopicKind): void {
    this.#kinds.set(topic, kind);
  }

  /** Was told to somebody: what is asked from now on may not say less. */
  known(topic: string, partition: number): Known {
    const { start, end } = this.#of(topic, partition);
    return { start, end };
  }

  /** Somebody is about to ask that the log begins there. */
  trimming(topic: string, partition: number, offset: number): void {
    const history = this.#of(topic, partition);
    history.askedStart = Math.max(history.askedStart, offset);
  }

  /** The log begins there, somebody was told who knew of `known` before he asked. */
  began(topic: string, partition: number, known: Known, startOffset: number): void {
    const history = this.#of(topic, partition);
    const name = `${topic}-${partition}`;
    if (startOffset < known.start) {
      this.#violate(
        `I8: ${name}: the log begins at ${startOffset}, somebody was told of ${known.start} before`,
      );
    }
    if (startOffset > greatestStart(history)) {
      this.#violate(
        `I1: ${name}: the log begins at ${startOffset}, nobody asked for more than ${greatestStart(history)}`,
      );
    }
    history.start = Math.max(history.start, startOffset);
  }

  /** A read from `offset` was refused to one who knew of `known` before he asked. */
  refused(topic: string, partition: number, known: Known, offset: number): void {
    // Trimmed, perhaps after he asked; or nothing that he had been told of.
    if (offset < greatestStart(this.#of(topic, partition)) || offset > known.end) return;
    this.#violate(`I8: ${topic}-${partition}: offset ${offset} was known and is out of range`);
  }

  acknowledgedOf(producer: string): number {
    return this.#acknowledgedOf.get(producer) ?? 0;
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
    this.#acknowledgedOf.set(producer, this.acknowledgedOf(producer) + values.length);
    const last = values.length - 1;
    history.newest.set(producer, { counter: counter + last, offset: baseOffset + last });
  }

  /** One answer of a fetch from `fetchOffset`, of one who knew of `known` before he asked. */
  fetched(topic: string, partition: number, fetchOffset: number, known: Known, answer: FetchAnswer): void {
    const history = this.#of(topic, partition);
    this.began(topic, partition, known, answer.logStartOffset);
    let expected = fetchOffset;
    for (const record of answer.records) {
      const { offset } = record;
      const isDue = history.kind === 'compacted' ? offset >= expected : offset === expected;
      if (!isDue) this.#violate(`I3: ${topic}-${partition}: ${offset} came where ${expected} was due`);
      expected = offset + 1;
      if (offset < known.start) {
        this.#violate(`I1: ${topic}-${partition}: ${offset} was served, the log began at ${known.start}`);
      }
      if (offset >= answer.highWatermark) {
        this.#violate(
          `I9: ${topic}-${partition}: offset ${offset} was served, the high watermark is ${answer.highWatermark}`,
        );
      }
      this.#placeRecord(history, record, 'read');
      this.read++;
    }
    if (answer.highWatermark < known.end) {
      this.#violate(
        `I8: ${topic}-${partition}: the high watermark is ${answer.highWatermark}, somebody was told of ${known.end - 1} before`,
      );
    }
  }

  drained(topic: string, partition: number, { known, startOffset, records, bytes }: Drained): void {
    const history = this.#of(topic, partition);
    const { kind } = history;
    this.began(topic, partition, known, startOffset);
    if (kind === 'retained' && startOffset > 0 && bytes < RETAINED_BYTES) {
      this.#violate(`I1: ${topic}-${partition}: ${bytes} bytes are left, ${RETAINED_BYTES} are to be kept`);
    }
    const found = new Map(records.map(({ offset, value }) => [offset, value]));
    const newestOf = new Map(records.map(({ offset, key }) => [key, offset]));
    for (const [offset, value] of history.valueAt) {
      if (offset < startOffset) this.trimmed++;
      if (offset < startOffset || found.get(offset) === value) continue;
      const isSuperseded = kind === 'compacted' && (newestOf.get(keyOf(value)) ?? -1) > offset;
      if (isSuperseded && !found.has(offset)) {
        this.superseded++;
        continue;
      }
      const what = history.acked.has(offset) ? 'I1: acknowledged' : 'I9: read before';
      const rule = kind === 'compacted' ? `I39, ${what}` : what;
      this.#violate(
        `${rule} and lost: ${topic}-${partition} offset ${offset} was ${value}, is ${found.get(offset) ?? 'gone'}`,
      );
    }
    this.#checkOrder(history, startOffset, records);
  }

  #checkOrder(history: PartitionHistory, startOffset: number, records: readonly SeenRecord[]): void {
    const name = `${history.topic}-${history.partition}`;
    const isWhole = history.kind !== 'compacted';
    const newest = new Map<string, number>();
    records.forEach((record, n) => {
      const { offset, value } = record;
      if (isWhole && offset !== startOffset + n) {
        this.#violate(`I3: ${name}: record ${n} from ${startOffset} on has offset ${offset}`);
      }
      this.#placeRecord(history, record, 'drained');
      const [, , producer = '', text] = value.split('|');
      const counter = Number(text);
      const last = newest.get(producer);
      // What came before the first one that is left is gone, or was never there.
      const due = (last ?? (isWhole && startOffset === 0 ? -1 : counter - 1)) + 1;
      if (isWhole ? counter !== due : counter < due) {
        this.#violate(`I15: ${name}: ${value} at ${offset}, ${due} of this producer was due`);
      }
      newest.set(producer, counter);
    });
  }

  #placeRecord(history: PartitionHistory, { offset, key, value }: SeenRecord, how: string): void {
    if (key !== keyOf(value)) {
      this.#violate(`I34: ${history.topic}-${history.partition}: ${value} was ${how} with the key ${key}`);
    }
    this.#place(history, offset, value, how);
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
    const history = newHistory(topic, partition, this.#kinds.get(topic) ?? 'kept');
    this.#partitions.set(key, history);
    return history;
  }
}
