import { setTimeout as sleep } from 'node:timers/promises';
import type { Admin } from 'kafkajs';
import type { HistorySink } from '../history/file.ts';
import { Clients } from './clients.ts';
import { WorkloadConsumer } from './consumer.ts';
import { OffsetWatcher } from './offset-watcher.ts';
import { type ResolvedOptions, resolveOptions, type WorkloadOptions } from './options.ts';
import { WorkloadProducer } from './producer.ts';
import { Recorder } from './recorder.ts';
import { withinMs } from './stopper.ts';

/** How long a producer's last batch may take once the load ends. */
const LAST_BATCH_DEADLINE_MS = 30_000;
const CLOSE_DEADLINE_MS = 10_000;
const LOOK_AGAIN_MS = 50;

export interface WorkloadResult {
  readonly acknowledged: number;
  /** Everything acknowledged was read again from the beginning. Otherwise the checker says what was not. */
  readonly isDrained: boolean;
  /** Errors the application saw; the first hundred. */
  readonly errors: readonly string[];
  /** What the clients logged while they tried again, and how often. */
  readonly complaints: ReadonlyMap<string, number>;
}

/** Clients under load against one cluster, writing one history. */
export class Workload {
  readonly #options: ResolvedOptions;
  readonly #recorder: Recorder;
  readonly #clients: Clients;
  readonly #admin: Admin;
  readonly #group: string;
  readonly #producers: WorkloadProducer[] = [];
  readonly #members: WorkloadConsumer[] = [];
  readonly #tails: WorkloadConsumer[] = [];
  #watcher: OffsetWatcher | undefined;

  private constructor(options: ResolvedOptions, recorder: Recorder) {
    const { topic, bootstrapServers, requestTimeoutMs } = options;
    this.#options = options;
    this.#recorder = recorder;
    this.#clients = new Clients(bootstrapServers, topic, requestTimeoutMs);
    this.#admin = this.#clients.admin();
    this.#group = `${topic}-group`;
  }

  /**
   * Makes the topic and starts all clients.
   * @param now the monotonic clock of the history, in milliseconds
   */
  static async start(
    options: WorkloadOptions,
    sink: HistorySink,
    now: () => number = () => performance.now(),
  ): Promise<Workload> {
    const workload = new Workload(resolveOptions(options), new Recorder(sink, now));
    try {
      await workload.#start();
    } catch (error) {
      await workload.#close();
      throw error;
    }
    return workload;
  }

  /** Records acknowledged so far. */
  get acknowledged(): number {
    return this.#recorder.acknowledged;
  }

  /** Ends the load, lets the readers reach the end, and reads everything once more from the beginning. */
  async stop(): Promise<WorkloadResult> {
    await Promise.all(this.#producers.map((producer) => producer.stop(LAST_BATCH_DEADLINE_MS)));
    const { drainDeadlineMs } = this.#options;
    await this.#until(() => this.#haveReached(this.#recorder.ackedEnd), drainDeadlineMs);
    const isDrained = await this.#drain(drainDeadlineMs);
    await this.#close();
    this.#recorder.throwIfFailed();
    return {
      acknowledged: this.#recorder.acknowledged,
      isDrained,
      errors: this.#recorder.errors,
      complaints: this.#clients.complaints,
    };
  }

  async #start(): Promise<void> {
    const { topic, partitions, groupMembers, tailReaders, producersPerPartition } = this.#options;
    await this.#admin.connect();
    await this.#admin.createTopics({ topics: [{ topic, numPartitions: partitions }], waitForLeaders: true });
    for (let n = 0; n < groupMembers; n += 1) {
      this.#members.push(this.#consumer(`member-${n}`, this.#group, 'subscribe'));
    }
    for (let n = 0; n < tailReaders; n += 1) {
      this.#tails.push(this.#consumer(`tail-${n}`, `${topic}-tail-${n}`, 'assign'));
    }
    await Promise.all([...this.#members, ...this.#tails].map((consumer) => consumer.start()));
    if (groupMembers > 0) {
      this.#watcher = new OffsetWatcher(this.#admin, this.#group, topic, this.#recorder);
    }
    for (let partition = 0; partition < partitions; partition += 1) {
      for (let n = 0; n < producersPerPartition; n += 1) {
        const name = `producer-${partition}-${n}`;
        this.#producers.push(
          new WorkloadProducer(this.#clients, this.#options, partition, name, this.#recorder),
        );
      }
    }
  }

  #consumer(name: string, group: string, mode: 'assign' | 'subscribe'): WorkloadConsumer {
    const settings = { name, group, mode, topic: this.#options.topic };
    return new WorkloadConsumer(this.#clients, settings, this.#recorder);
  }

  /** Up to the end of the log as clients and cluster know it; records of unknown writes are read as well. */
  async #drain(deadlineMs: number): Promise<boolean> {
    const { topic } = this.#options;
    const startedMs = this.#recorder.now();
    const ends = new Map(this.#recorder.ackedEnd);
    const asked = this.#admin.fetchTopicOffsets(topic).then((rows) => {
      for (const { partition, high } of rows)
        ends.set(partition, Math.max(Number(high), ends.get(partition) ?? 0));
    });
    await withinMs(asked, deadlineMs);
    const drain = this.#consumer('drain', `${topic}-drain`, 'assign');
    const leftMs = () => startedMs + deadlineMs - this.#recorder.now();
    const started = drain.start();
    await withinMs(started, leftMs());
    const isDrained = await this.#until(() => hasReached(drain.positions, ends), leftMs());
    await drain.stop();
    return isDrained;
  }

  #haveReached(ends: ReadonlyMap<number, number>): boolean {
    const group = new Map<number, number>();
    for (const { positions, committed } of this.#members) {
      for (const [partition, position] of [...positions, ...committed]) {
        group.set(partition, Math.max(position, group.get(partition) ?? 0));
      }
    }
    return (
      (this.#members.length === 0 || hasReached(group, ends)) &&
      this.#tails.every(({ positions }) => hasReached(positions, ends))
    );
  }

  async #until(condition: () => boolean, deadlineMs: number): Promise<boolean> {
    const deadline = this.#recorder.now() + deadlineMs;
    while (!condition()) {
      if (this.#recorder.now() > deadline) return false;
      await sleep(LOOK_AGAIN_MS);
    }
    return true;
  }

  async #close(): Promise<void> {
    await Promise.all([
      ...this.#producers.map((producer) => producer.stop(0)),
      ...[...this.#members, ...this.#tails].map((consumer) => consumer.stop()),
      this.#watcher?.stop(CLOSE_DEADLINE_MS),
    ]);
    await withinMs(this.#admin.disconnect(), CLOSE_DEADLINE_MS);
  }
}

function hasReached(positions: ReadonlyMap<number, number>, ends: ReadonlyMap<number, number>): boolean {
  for (const [partition, end] of ends) if ((positions.get(partition) ?? 0) < end) return false;
  return true;
}
