import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { LogConfig } from '../../broker-runtime/src/log/partition-log.ts';
import { openPartition, type Partition } from '../../broker-runtime/src/log/partition.ts';
import { StoreWorld } from '../store/store-world.ts';
import { DEFAULT_CONFIG, openRig, type Rig } from './kit.ts';
import { HORIZON_MS, logCommands, LogModel, type LogWorld } from './model.ts';

const COMPACT_AND_DELETE: LogConfig = {
  ...DEFAULT_CONFIG,
  cleanupPolicy: { compact: true, delete: true },
  minCleanableDirtyRatio: 0,
  deleteRetentionMs: HORIZON_MS,
};

class MemoryWorld implements LogWorld {
  rig: Rig;
  #crashes = 0;

  constructor(rig: Rig) {
    this.rig = rig;
  }
  get partition(): Partition {
    return this.rig.partition;
  }
  wallMs(): number {
    return this.rig.env.clock.wallMs();
  }
  async append(batch: Uint8Array): Promise<ReturnType<Partition['append']>> {
    const result = this.partition.append(batch, { origin: 'client' });
    this.rig.data.sealGroup();
    return result;
  }
  async settle(): Promise<void> {
    this.rig.data.settle();
  }
  async upload(): Promise<void> {
    this.rig.data.upload();
  }
  run<T>(work: Promise<T>): Promise<T> {
    return this.rig.run(work);
  }
  wait(ms: number): Promise<void> {
    return this.rig.env.clock.advance(ms);
  }
  async crash(): Promise<void> {
    this.rig = await this.rig.crash({ keepGroups: this.#crashes++ % 3 });
  }
  async restart(): Promise<void> {
    await this.run(this.partition.close());
    this.rig = await this.rig.crash();
  }
}

/** The same over the real store: WAL on a simulated disk, objects in a simulated bucket, recovery after a crash. */
class RealWorld implements LogWorld {
  readonly #world = new StoreWorld();
  readonly #config: LogConfig;
  #streamIds: readonly number[] = [];
  #partition: Partition | undefined;
  #leaderEpoch = 0;

  constructor(config: LogConfig) {
    this.#config = config;
  }
  get partition(): Partition {
    if (this.#partition === undefined) throw new Error('the partition is not open');
    return this.#partition;
  }
  async start(): Promise<this> {
    await this.#world.start();
    if (this.#streamIds.length === 0) this.#streamIds = await this.#world.createStreams(2);
    const { env, store } = this.#world;
    const [data = 0, states = 0] = this.#streamIds;
    this.#partition = await this.run(
      openPartition({
        topicId: 'topic-id',
        topic: 'topic',
        partition: 0,
        leaderEpoch: this.#leaderEpoch++,
        data: store.stream(data),
        states: store.stream(states),
        config: this.#config,
        env,
        admit: (payloadBytes, entryCount) => store.admit(payloadBytes, entryCount),
      }),
    );
    return this;
  }
  wallMs(): number {
    return this.#world.env.clock.wallMs();
  }
  async append(batch: Uint8Array): Promise<ReturnType<Partition['append']>> {
    const waiting = this.#world.store.admit(batch.length, 1);
    if (waiting !== undefined) await this.run(waiting);
    return this.partition.append(batch, { origin: 'client' });
  }
  settle(): Promise<void> {
    return this.wait(50);
  }
  upload(): Promise<void> {
    return this.run(this.#world.store.stream(this.#streamIds[0] ?? 0).flush());
  }
  run<T>(work: Promise<T>): Promise<T> {
    return this.#world.run(work);
  }
  wait(ms: number): Promise<void> {
    return this.#world.env.clock.advance(ms);
  }
  async crash(): Promise<void> {
    this.partition.abandon();
    await this.#world.crash();
    await this.start();
  }
  async restart(): Promise<void> {
    await this.run(this.partition.close());
    await this.#world.stop();
    await this.start();
  }
  get failures(): readonly Error[] {
    return this.#world.failures;
  }
}

test.each([
  ['a log that only deletes', DEFAULT_CONFIG],
  ['a compacted log', COMPACT_AND_DELETE],
])('%s does what the model says, whatever happens to it', async (_, config) => {
  await fc.assert(
    fc.asyncProperty(logCommands(40), async (commands) => {
      const model = new LogModel(config.cleanupPolicy.compact);
      const real = new MemoryWorld(await openRig({ config }));
      await fc.asyncModelRun(() => ({ model, real }), commands);
      expect(real.rig.data.slicesHeld).toBe(0);
    }),
    { numRuns: 150 },
  );
});

test.each([
  ['a log that only deletes', DEFAULT_CONFIG],
  ['a compacted log', COMPACT_AND_DELETE],
])('over the real store too: %s', async (_, config) => {
  await fc.assert(
    fc.asyncProperty(logCommands(30), async (commands) => {
      const model = new LogModel(config.cleanupPolicy.compact);
      const real = await new RealWorld(config).start();
      await fc.asyncModelRun(() => ({ model, real }), commands);
      expect(real.failures).toEqual([]);
    }),
    { numRuns: 25 },
  );
});
