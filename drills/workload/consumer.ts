import type { Batch, Consumer, EachBatchPayload } from 'kafkajs';
import type { MicroOperation } from '../history/operation.ts';
import { verifyValue } from '../history/value.ts';
import type { Clients } from './clients.ts';
import { errorText, type Recorder } from './recorder.ts';
import { withinMs } from './stopper.ts';

const STOP_DEADLINE_MS = 15_000;
/** Answers that say for certain that the commit changed nothing. */
const COMMIT_REFUSED = new Set([
  'ILLEGAL_GENERATION',
  'UNKNOWN_MEMBER_ID',
  'REBALANCE_IN_PROGRESS',
  'NOT_COORDINATOR_FOR_GROUP',
  'GROUP_LOAD_IN_PROGRESS',
  'FENCED_INSTANCE_ID',
]);

export interface ConsumerSettings {
  readonly name: string;
  readonly group: string;
  readonly topic: string;
  /**
   * `subscribe`: begins where the group committed, and commits. `assign`: alone in its group, keeps positions of its
   * own and goes back to them whenever the client had to start again; so it reads like a consumer without a group.
   */
  readonly mode: 'assign' | 'subscribe';
}

/** A consumer that writes down what it is given. */
export class WorkloadConsumer {
  readonly #settings: ConsumerSettings;
  readonly #recorder: Recorder;
  readonly #consumer: Consumer;
  /** Next offset by partition: of the present assignment, or, in `assign` mode, for good. */
  readonly #positions = new Map<number, number>();
  /** Next offset by partition, as this member committed it for its group. */
  readonly #committed = new Map<number, number>();
  /** What the group gave to this member last. */
  #assignment: ReadonlySet<number> = new Set();
  /** A poll began at the latest when the one before had ended. */
  #lastMs: number;

  constructor(clients: Pick<Clients, 'consumer'>, settings: ConsumerSettings, recorder: Recorder) {
    this.#settings = settings;
    this.#recorder = recorder;
    this.#lastMs = recorder.now();
    this.#consumer = clients.consumer(settings.group);
    const { GROUP_JOIN, CRASH } = this.#consumer.events;
    this.#consumer.on(GROUP_JOIN, ({ payload }) => {
      this.#assigned(payload.memberAssignment[settings.topic] ?? []);
    });
    this.#consumer.on(CRASH, ({ payload }) => void this.#failed(payload.error));
  }

  get positions(): ReadonlyMap<number, number> {
    return this.#positions;
  }

  /** Kept when the partition goes to another member, which may have nothing left to read. */
  get committed(): ReadonlyMap<number, number> {
    return this.#committed;
  }

  async start(): Promise<void> {
    await this.#consumer.connect();
    await this.#consumer.subscribe({ topic: this.#settings.topic, fromBeginning: true });
    await this.#consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      eachBatch: (payload) => this.#take(payload),
    });
  }

  async stop(): Promise<void> {
    await withinMs(this.#consumer.disconnect(), STOP_DEADLINE_MS);
    const now = this.#recorder.now();
    const { name: client } = this.#settings;
    await this.#recorder.record({
      client,
      f: 'assign',
      type: 'ok',
      t0: now,
      t1: now,
      mode: 'assign',
      ops: [],
    });
  }

  /** Called by the client between joining and fetching, so what is sought here is what is fetched next. */
  #assigned(partitions: readonly number[]): void {
    const { name: client, group, topic, mode } = this.#settings;
    this.#assignment = new Set(partitions);
    if (mode === 'subscribe') this.#positions.clear();
    const ops = partitions.map((partition) => {
      if (mode === 'subscribe') return { topic, partition };
      const offset = this.#positions.get(partition) ?? 0;
      this.#positions.set(partition, offset);
      this.#consumer.seek({ topic, partition, offset: String(offset) });
      return { topic, partition, offset };
    });
    const t0 = this.#lastMs;
    const t1 = (this.#lastMs = this.#recorder.now());
    void this.#recorder.record({ client, f: 'assign', type: 'ok', t0, t1, group, mode, ops });
  }

  async #take(payload: EachBatchPayload): Promise<void> {
    const { batch } = payload;
    const { topic, partition, messages } = batch;
    const last = messages.at(-1);
    const position = this.#positions.get(partition);
    // A client may ask twice for the same records, of the old leader and the new one: the second answer is not new. And
    // kafkajs hands out what it had fetched before a rebalance: who owns the partition now reads it.
    if (
      last === undefined ||
      payload.isStale() ||
      !this.#assignment.has(partition) ||
      (position !== undefined && fetchedOffset(batch) < position)
    )
      return;

    const end = Number(last.offset) + 1;
    this.#positions.set(partition, end);
    const t0 = this.#lastMs;
    const t1 = (this.#lastMs = this.#recorder.now());
    const ops: MicroOperation[] = [{ topic, partition, highWatermark: Number(batch.highWatermark) }];
    for (const { offset, value } of messages) {
      ops.push({ topic, partition, offset: Number(offset), value: verifyValue(value) });
    }
    payload.resolveOffset(last.offset);
    await this.#recorder.record({ client: this.#settings.name, f: 'poll', type: 'ok', t0, t1, ops });
    if (this.#settings.mode === 'subscribe') {
      await this.#commit(partition, end, () =>
        payload.commitOffsetsIfNecessary({
          topics: [{ topic, partitions: [{ partition, offset: String(end) }] }],
        }),
      );
    }
  }

  async #commit(partition: number, offset: number, commit: () => Promise<void>): Promise<void> {
    const { name: client, group, topic } = this.#settings;
    const ops = [{ topic, partition, offset }];
    const t0 = this.#recorder.now();
    try {
      await commit();
    } catch (error) {
      const type = COMMIT_REFUSED.has(typeOf(error)) ? 'fail' : 'info';
      const t1 = this.#recorder.now();
      // A rebalance refuses commits: that is how groups work, not an error.
      const told = type === 'fail' ? {} : { error: errorText(error) };
      await this.#recorder.record({ client, f: 'commit', type, t0, t1, group, ops, ...told });
      throw error;
    }
    this.#committed.set(partition, offset);
    const t1 = this.#recorder.now();
    await this.#recorder.record({ client, f: 'commit', type: 'ok', t0, t1, group, ops });
  }

  #failed(error: Error): Promise<void> {
    const t1 = this.#recorder.now();
    const { name: client } = this.#settings;
    return this.#recorder.record({
      client,
      f: 'poll',
      type: 'fail',
      t0: this.#lastMs,
      t1,
      error: errorText(error),
      ops: [],
    });
  }
}

/** What the client asked for; its types do not tell. */
function fetchedOffset(batch: Batch): number {
  const { fetchedOffset: offset } = batch as Batch & { readonly fetchedOffset?: string };
  return offset === undefined ? Infinity : Number(offset);
}

function typeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'type' in error && typeof error.type === 'string'
    ? error.type
    : '';
}
