import type { Kafka } from 'kafkajs';
import { type Patience, until } from './until.ts';

export interface SentRecordsOptions {
  readonly topic: string;
  /** A client of the brokers that there are by now. */
  readonly kafka: () => Kafka;
  readonly patience?: Patience;
}

/** The records of one topic whose acknowledgement kafkajs was told: each must be found there once, whatever happens. */
export class SentRecords {
  readonly #options: SentRecordsOptions;
  readonly #sent: string[] = [];
  #readers = 0;

  constructor(options: SentRecordsOptions) {
    this.#options = options;
  }

  /** Sorted by value, as {@link consumeAll} has them. */
  get sent(): string[] {
    return this.#sent.toSorted();
  }

  /** One after the other, idempotent; a record that is not acknowledged after all retries is an error. */
  async produce(count: number): Promise<void> {
    const { topic, kafka } = this.#options;
    const producer = kafka().producer({ idempotent: true, maxInFlightRequests: 1 });
    await producer.connect();
    for (let n = 0; n < count; n++) {
      const value = `record-${this.#sent.length}`;
      await producer.send({ topic, acks: -1, messages: [{ key: String(n), value }] });
      this.#sent.push(value);
    }
    await producer.disconnect();
  }

  /** What a new consumer group is given from the beginning on, until it has as many as were sent. */
  async consumeAll(): Promise<string[]> {
    const { topic, kafka, patience } = this.#options;
    const found: string[] = [];
    const consumer = kafka().consumer({ groupId: `${topic}-reader-${this.#readers++}` });
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      eachMessage: async ({ message }) => void found.push(message.value?.toString() ?? ''),
    });
    await until('all records are read', () => found.length >= this.#sent.length, patience);
    await consumer.disconnect();
    return found.toSorted();
  }
}
