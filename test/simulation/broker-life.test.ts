import { describe, expect, test } from '@jest/globals';
import { checkDrain, type Observation } from '../harness/history.ts';
import { BrokerLives } from './broker-lives.ts';
import { batchOf, LifeClient, NONE, values } from './life-clients.ts';
import type { StoreFault, StoreOperation } from './world/memory-object-store.ts';

/** `MILLRACE_SEEDS=500 npx jest test/simulation/broker-life` runs longer; `MILLRACE_SEED=7` runs one again. */
const FIRST_SEED = Number(process.env['MILLRACE_SEED'] ?? 1);
const SEEDS = Number(process.env['MILLRACE_SEEDS'] ?? (process.env['MILLRACE_SEED'] === undefined ? 5 : 1));
const TROUBLE_MS = 30_000;
const PARTITIONS = 2;
/** What a healed broker may take until everything is readable (I37). */
const DRAIN_LIMIT_MS = 300_000;

/** What clients were told in one run. */
class Told {
  readonly acked = new Map<string, Observation[]>();
  /** Every record that was ever served, by topic. */
  readonly seen = new Map<string, Observation[]>();
  readonly committed = new Map<number, { acked: number; attempts: number[] }>();
  /** Acknowledged and greatest requested starts of `trimmed`, by partition. */
  readonly starts = new Map<number, { acked: number; requested: number }>();
  readonly churned = new Map<string, ChurnedTopic>();
  /** What must not be answered. */
  readonly violations: string[] = [];
}

interface ChurnedTopic {
  readonly values: string[];
  deletion: 'no' | 'asked' | 'done';
}

class Run {
  readonly lives: BrokerLives;
  readonly told = new Told();
  #isOver = false;

  constructor(seed: number) {
    this.lives = new BrokerLives(seed, { 'log.retention.check.interval.ms': '5000' });
  }

  async play(): Promise<void> {
    const { lives } = this;
    lives.storeDelayMs = () => lives.random.between(1, 60);
    await lives.run(lives.start());
    await lives.run(this.#createTopics());
    lives.faults = (operation) => this.#fault(operation);
    const actors = [
      this.#producer('plain-a', 'kept'),
      this.#producer('plain-b', 'kept'),
      this.#producer('plain-c', 'trimmed'),
      this.#idempotent('once-a', 'kept'),
      this.#idempotent('once-b', 'kept'),
      this.#reader('kept'),
      this.#committer(0),
      this.#committer(1),
      this.#trimmer(),
      this.#churner('churn-a'),
      this.#churner('churn-b'),
    ];
    await lives.run(this.#trouble());
    this.#isOver = true;
    await lives.run(Promise.all(actors), DRAIN_LIMIT_MS);
  }

  async #createTopics(): Promise<void> {
    const client = new LifeClient(this.lives);
    expect(await client.createTopic('kept', PARTITIONS)).toBe(NONE);
    expect(await client.createTopic('trimmed', PARTITIONS)).toBe(NONE);
    expect(await client.findCoordinator()).toBe(NONE);
  }

  #fault(operation: StoreOperation): StoreFault | undefined {
    const { random } = this.lives;
    if (!random.chance(0.06)) return undefined;
    if (operation === 'get') return { kind: random.chance(0.3) ? 'corrupt' : 'fail' };
    if (random.chance(0.3)) return { kind: 'land-late', afterMs: random.between(10, 5_000) };
    return { kind: random.chance(0.5) ? 'lose-answer' : 'fail' };
  }

  /** Kills, stops, cuts the store off, and in the end heals everything. */
  async #trouble(): Promise<void> {
    const { lives } = this;
    const { clock, random } = lives;
    const untilMs = clock.monotonicMs() + TROUBLE_MS;
    while (clock.monotonicMs() < untilMs) {
      await clock.sleep(random.between(10, 6_000));
      const draw = random.below(10);
      if (draw < 3) {
        lives.unavailable = true;
        await clock.sleep(random.between(100, 20_000));
        if (random.chance(0.4)) lives.crash();
        lives.unavailable = false;
      } else if (draw < 8) {
        lives.crash();
        await clock.sleep(random.between(0, 2_000));
      } else {
        await lives.stop();
      }
      if (!lives.isUp) await lives.start();
    }
    lives.faults = undefined;
  }

  /** Sends each value once: without an answer nobody knows whether it is there. */
  async #producer(name: string, topic: string): Promise<void> {
    const client = new LifeClient(this.lives);
    for (let counter = 0; !this.#isOver;) {
      const partition = client.random.below(PARTITIONS);
      const batch = values(name, counter, client.random.between(1, 4));
      counter += batch.length;
      const answer = await client.produce(topic, partition, batchOf(batch));
      if (answer?.errorCode === NONE) this.#acknowledge(topic, partition, batch, answer.baseOffset);
      await client.pause(200);
    }
  }

  /** Sends each batch until it is acknowledged, with its sequence: exactly once. */
  async #idempotent(name: string, topic: string): Promise<void> {
    const client = new LifeClient(this.lives);
    let producerId: number | undefined;
    while (producerId === undefined) {
      producerId = await client.initProducerId();
      await client.pause(200);
    }
    const sequences = [0, 0];
    for (let counter = 0; !this.#isOver;) {
      const partition = client.random.below(PARTITIONS);
      const batch = values(name, counter, client.random.between(1, 4));
      counter += batch.length;
      const baseSequence = sequences[partition] ?? 0;
      for (;;) {
        const bytes = batchOf(batch, { producerId, producerEpoch: 0, baseSequence });
        const answer = await client.produce(topic, partition, bytes);
        if (answer?.errorCode === NONE) {
          this.#acknowledge(topic, partition, batch, answer.baseOffset);
          break;
        }
        // 45 out of order, 46 duplicate without a place, 47 fenced, 59 unknown producer: state was lost.
        if (answer !== undefined && [45, 46, 47, 59].includes(answer.errorCode)) {
          this.told.violations.push(`${name} was answered ${answer.errorCode} at sequence ${baseSequence}`);
          return;
        }
        await client.pause(500);
      }
      sequences[partition] = baseSequence + batch.length;
      await client.pause(200);
    }
  }

  #acknowledge(topic: string, partition: number, batch: readonly string[], baseOffset: number): void {
    const list = this.told.acked.get(topic) ?? [];
    batch.forEach((value, n) => list.push({ value, partition, offset: baseOffset + n }));
    this.told.acked.set(topic, list);
  }

  /** What was served once must stay: nobody may see what a crash can undo (I9). */
  async #reader(topic: string): Promise<void> {
    const client = new LifeClient(this.lives);
    const seen: Observation[] = [];
    this.told.seen.set(topic, seen);
    const next = [0, 0];
    while (!this.#isOver) {
      const partition = client.random.below(PARTITIONS);
      const from = client.random.chance(0.2) ? 0 : (next[partition] ?? 0);
      const fetched = await client.fetch(topic, partition, from);
      if (fetched?.isOutOfRange === true) {
        this.told.violations.push(`${topic}-${partition}: offset ${from} was readable and is out of range`);
      }
      for (const record of fetched?.records ?? []) {
        if (record.offset < (next[partition] ?? 0)) continue;
        seen.push(record);
        next[partition] = record.offset + 1;
      }
      await client.pause(100);
    }
  }

  async #committer(partition: number): Promise<void> {
    const client = new LifeClient(this.lives);
    const register = { acked: -1, attempts: [-1] };
    this.told.committed.set(partition, register);
    for (let offset = 0; !this.#isOver; offset++) {
      register.attempts.push(offset);
      if ((await client.commitOffset('kept', partition, offset)) === NONE) {
        register.acked = offset;
        register.attempts = [offset];
      }
      const found = client.random.chance(0.2) ? await client.committedOffset('kept', partition) : undefined;
      if (found !== undefined && !register.attempts.includes(found)) {
        this.told.violations.push(`offset ${found} is committed, possible are ${register.attempts.join()}`);
      }
      await client.pause(500);
    }
  }

  async #trimmer(): Promise<void> {
    const client = new LifeClient(this.lives);
    while (!this.#isOver) {
      await client.pause(4_000);
      const partition = client.random.below(PARTITIONS);
      const start = this.told.starts.get(partition) ?? { acked: 0, requested: 0 };
      this.told.starts.set(partition, start);
      const acked = this.told.acked.get('trimmed')?.filter((record) => record.partition === partition) ?? [];
      const offset = acked[client.random.below(acked.length)]?.offset;
      if (offset === undefined) continue;
      start.requested = Math.max(start.requested, offset);
      const errorCode = await client.deleteRecords('trimmed', partition, offset);
      if (errorCode === NONE) start.acked = Math.max(start.acked, offset);
    }
  }

  /** Topics that come, get records and mostly go. */
  async #churner(name: string): Promise<void> {
    const client = new LifeClient(this.lives);
    for (let n = 0; !this.#isOver; n++) {
      const topic = `${name}-${n}`;
      const state: ChurnedTopic = { values: [], deletion: 'no' };
      this.told.churned.set(topic, state);
      const creation = client.createTopic(topic, 1);
      // Others write to it as soon as they see it.
      const writer = new LifeClient(this.lives);
      for (let counter = 0; counter < 4; counter++) {
        await writer.pause(100);
        const value = `${topic}.${counter}`;
        const answer = await writer.produce(topic, 0, batchOf([value]));
        if (answer?.errorCode === NONE) state.values.push(value);
      }
      await creation;
      await client.pause(2_000);
      if (client.random.chance(0.6)) {
        state.deletion = 'asked';
        if ((await client.deleteTopic(topic)) === NONE) state.deletion = 'done';
      }
    }
  }

  /** Reads everything back from a broker that was stopped and started once more. */
  async check(): Promise<void> {
    const { lives, told } = this;
    expect(lives.failures.map((error) => error.message)).toEqual([]);
    if (lives.random.chance(0.5)) lives.crash();
    else await lives.run(lives.stop());
    await lives.run(lives.start());
    const client = new LifeClient(lives);
    expect(told.violations).toEqual([]);
    await lives.run(this.#checkTopics(client), DRAIN_LIMIT_MS);
    await lives.run(this.#checkOffsets(client), DRAIN_LIMIT_MS);
    await lives.run(this.#checkChurned(client), DRAIN_LIMIT_MS);
    lives.crash();
  }

  async #checkTopics(client: LifeClient): Promise<void> {
    const { told } = this;
    for (const topic of ['kept', 'trimmed']) {
      const read: Observation[] = [];
      let acked = told.acked.get(topic) ?? [];
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const { logStartOffset, records } = await client.drain(topic, partition);
        const start = told.starts.get(partition) ?? { acked: 0, requested: 0 };
        const isTrimmed = topic === 'trimmed';
        expect(logStartOffset).toBeGreaterThanOrEqual(isTrimmed ? start.acked : 0);
        expect(logStartOffset).toBeLessThanOrEqual(isTrimmed ? start.requested : 0);
        // Offsets are dense from the start of the log on: moved to 0 for the checker.
        read.push(...records.map((record) => ({ ...record, offset: record.offset - logStartOffset })));
        acked = acked.flatMap((record) => {
          if (record.partition !== partition) return [record];
          return record.offset < logStartOffset
            ? []
            : [{ ...record, offset: record.offset - logStartOffset }];
        });
        const valueAt = new Map(records.map(({ offset, value }) => [offset, value]));
        const changed = (told.seen.get(topic) ?? []).filter(
          (seen) => seen.partition === partition && valueAt.get(seen.offset) !== seen.value,
        );
        expect(changed).toEqual([]);
      }
      const { lost, duplicated, inconsistent, gaps, reordered } = checkDrain(acked, read);
      expect({ topic, lost, duplicated, inconsistent, gaps, reordered }).toEqual({
        topic,
        lost: [],
        duplicated: [],
        inconsistent: [],
        gaps: [],
        reordered: [],
      });
    }
  }

  async #checkOffsets(client: LifeClient): Promise<void> {
    for (const [partition, { attempts }] of this.told.committed) {
      let found = await client.committedOffset('kept', partition);
      while (found === undefined) {
        await client.pause(1_000);
        found = await client.committedOffset('kept', partition);
      }
      expect(attempts).toContain(found);
    }
  }

  async #checkChurned(client: LifeClient): Promise<void> {
    for (const [topic, { values: acked, deletion }] of this.told.churned) {
      if (deletion !== 'no' || acked.length === 0) continue;
      const { records } = await client.drain(topic, 0);
      expect(records.map(({ value }) => value)).toEqual(expect.arrayContaining(acked));
    }
  }
}

describe('one broker through many lives', () => {
  test.each(Array.from({ length: SEEDS }, (_, n) => FIRST_SEED + n))(
    'seed %i: nothing acknowledged is lost, nothing stands twice, offsets are dense, group offsets are the last',
    async (seed) => {
      const run = new Run(seed);
      await run.play();
      await run.check();
    },
    120_000,
  );
});
