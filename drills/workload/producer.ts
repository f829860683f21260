import type { Producer } from 'kafkajs';
import { encodeValue, headOf } from '../history/value.ts';
import type { Clients } from './clients.ts';
import type { ResolvedOptions } from './options.ts';
import { errorText, type Recorder } from './recorder.ts';
import { Stopper } from './stopper.ts';

/**
 * Sends unique values to one partition, a batch at a time, at its share of the rate. After a batch with an unknown
 * outcome it goes on as a new session with a producer id of its own: the old one could not tell the broker which
 * sequence comes next.
 */
export class WorkloadProducer {
  readonly #clients: Clients;
  readonly #options: ResolvedOptions;
  readonly #partition: number;
  readonly #name: string;
  readonly #recorder: Recorder;
  readonly #stopper = new Stopper();
  readonly #done: Promise<void>;
  #session = 0;
  #counter = 0;

  constructor(
    clients: Clients,
    options: ResolvedOptions,
    partition: number,
    name: string,
    recorder: Recorder,
  ) {
    this.#clients = clients;
    this.#options = options;
    this.#partition = partition;
    this.#name = name;
    this.#recorder = recorder;
    this.#done = this.#run();
  }

  /** Waits for the batch under way, but not beyond the deadline: then its outcome is unknown. */
  async stop(deadlineMs: number): Promise<void> {
    this.#stopper.stop();
    const late = setTimeout(() => this.#stopper.abandon(), deadlineMs);
    await this.#done;
    clearTimeout(late);
  }

  async #run(): Promise<void> {
    while (!this.#stopper.isStopped) {
      const producer = this.#clients.producer();
      try {
        await this.#stopper.unlessAbandoned(producer.connect());
        await this.#runSession(producer);
      } catch (error) {
        // Connecting is no operation on the log; that it failed is worth knowing all the same.
        const now = this.#recorder.now();
        const error_ = errorText(error);
        await this.#recorder.record({
          client: this.#name,
          f: 'send',
          type: 'fail',
          t0: now,
          t1: now,
          error: error_,
          ops: [],
        });
        await this.#stopper.sleep(100);
      }
      await disconnectQuietly(producer);
      this.#session += 1;
    }
  }

  /** Ends when asked to, or after a batch of which nobody knows what became. */
  async #runSession(producer: Producer): Promise<void> {
    const { recordsPerSecond, producersPerPartition, partitions, batchRecords } = this.#options;
    const intervalMs = (1_000 * batchRecords * producersPerPartition * partitions) / recordsPerSecond;
    let dueMs = this.#recorder.now();
    while (!this.#stopper.isStopped) {
      if (!(await this.#send(producer))) return;
      // After a stall the load goes on as before; what was missed is not made up for.
      dueMs = Math.max(dueMs + intervalMs, this.#recorder.now());
      await this.#stopper.sleep(dueMs - this.#recorder.now());
    }
  }

  async #send(producer: Producer): Promise<boolean> {
    const { topic, batchRecords, valueBytes } = this.#options;
    const partition = this.#partition;
    const identities = Array.from({ length: batchRecords }, () => ({
      topic,
      partition,
      producer: `${this.#name}.${this.#session}`,
      counter: this.#counter++,
    }));
    const messages = identities.map((identity) => ({
      partition,
      key: String(partition),
      value: encodeValue(identity, valueBytes),
    }));
    const ops = identities.map((identity) => ({ topic, partition, value: headOf(identity) }));
    const client = this.#name;
    const t0 = this.#recorder.now();
    try {
      const [answer] = await this.#stopper.unlessAbandoned(producer.send({ topic, acks: -1, messages }));
      const t1 = this.#recorder.now();
      const base = Number(answer?.baseOffset);
      if (!Number.isSafeInteger(base)) throw new TypeError(`base offset ${answer?.baseOffset ?? 'missing'}`);
      await this.#recorder.record({
        client,
        f: 'send',
        type: 'ok',
        t0,
        t1,
        ops: ops.map((op, n) => ({ ...op, offset: base + n })),
      });
      return true;
    } catch (error) {
      const t1 = this.#recorder.now();
      await this.#recorder.record({ client, f: 'send', type: 'info', t0, t1, error: errorText(error), ops });
      return false;
    }
  }
}

async function disconnectQuietly(producer: Producer): Promise<void> {
  try {
    await producer.disconnect();
  } catch {
    // The connection was broken already.
  }
}
