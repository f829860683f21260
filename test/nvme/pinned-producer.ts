import { TcpNetwork } from '../../broker-runtime/src/adapters/tcp-network.ts';
import type { Address } from '../../broker-runtime/src/ports/network.ts';
import type { Observation } from '../harness/history.ts';
import { batchOf, Produce, producedRow, produceTo } from '../server/broker-rig.ts';
import { ConnectionClosedError, KafkaClient } from '../simulation/world/kafka-client.ts';

const PRODUCE_VERSION = 7;
const IN_FLIGHT_MAX = 3;
/** Longer than the broker stands still: that a request took too long must not be what keeps it from acknowledging it. */
const TIMEOUT_MS = 300_000;

/**
 * A producer of one connection that never asks anybody else: whatever is acknowledged to it, this broker acknowledged.
 * It always has as many requests under way as it may, and gives none of them up.
 */
export class PinnedProducer {
  readonly acked: Observation[] = [];
  readonly #client: KafkaClient;
  readonly #topic: string;
  readonly #partition: number;
  #counter = 0;
  #unanswered = 0;
  #isStopped = false;

  static async connect(address: Address, topic: string, partition: number): Promise<PinnedProducer> {
    const client = await KafkaClient.connect(new TcpNetwork(), address, 'pinned');
    return new PinnedProducer(client, topic, partition);
  }

  private constructor(client: KafkaClient, topic: string, partition: number) {
    this.#client = client;
    this.#topic = topic;
    this.#partition = partition;
    for (let n = 0; n < IN_FLIGHT_MAX; n++) void this.#run();
  }

  /** Requests under way. */
  get unanswered(): number {
    return this.#unanswered;
  }

  close(): void {
    this.#isStopped = true;
    this.#client.destroy();
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      const value = `pinned.${this.#counter++}`;
      this.#unanswered++;
      try {
        const request = {
          ...produceTo(this.#topic, batchOf([value]), this.#partition),
          timeoutMs: TIMEOUT_MS,
        };
        const row = producedRow(await this.#client.call(Produce, PRODUCE_VERSION, request));
        this.#unanswered--;
        if (row.errorCode !== 0) continue;
        this.acked.push({ value, partition: this.#partition, offset: row.baseOffset });
      } catch (error) {
        if (error instanceof ConnectionClosedError) return;
        throw error;
      }
    }
  }
}
