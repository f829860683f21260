import type { Admin } from 'kafkajs';
import { errorText, type Recorder } from './recorder.ts';
import { Stopper } from './stopper.ts';

const INTERVAL_MS = 500;

/** Asks again and again what a group has committed, for the register check (I16). */
export class OffsetWatcher {
  readonly #admin: Admin;
  readonly #group: string;
  readonly #topic: string;
  readonly #recorder: Recorder;
  readonly #stopper = new Stopper();
  readonly #done: Promise<void>;

  constructor(admin: Admin, group: string, topic: string, recorder: Recorder) {
    this.#admin = admin;
    this.#group = group;
    this.#topic = topic;
    this.#recorder = recorder;
    this.#done = this.#run();
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#stopper.stop();
    const late = setTimeout(() => this.#stopper.abandon(), deadlineMs);
    await this.#done;
    clearTimeout(late);
  }

  async #run(): Promise<void> {
    const topic = this.#topic;
    while (!this.#stopper.isStopped) {
      const t0 = this.#recorder.now();
      const base = {
        client: `watcher-of-${this.#group}`,
        f: 'fetch-offset',
        t0,
        group: this.#group,
      } as const;
      try {
        const answer = await this.#stopper.unlessAbandoned(
          this.#admin.fetchOffsets({ groupId: this.#group, topics: [topic] }),
        );
        const t1 = this.#recorder.now();
        const ops = answer.flatMap(({ partitions }) =>
          partitions.map(({ partition, offset }) => ({ topic, partition, offset: Number(offset) })),
        );
        await this.#recorder.record({ ...base, type: 'ok', t1, ops });
      } catch (error) {
        const t1 = this.#recorder.now();
        await this.#recorder.record({ ...base, type: 'info', t1, error: errorText(error), ops: [] });
      }
      await this.#stopper.sleep(INTERVAL_MS);
    }
  }
}
