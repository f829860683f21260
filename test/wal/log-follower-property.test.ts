import { describe, expect, test } from '@jest/globals';
import { sequenceOf } from '../../broker-runtime/src/wal/conditional/keys.ts';
import { decodeSnapshot } from '../../broker-runtime/src/wal/conditional/snapshot.ts';
import type { StoreFault, StoreOperation } from '../simulation/world/memory-object-store.ts';
import type { OpenFollower } from './follower-world.ts';
import { openFollower, stateOf } from './follower-world.ts';
import type { OpenJournal } from './journal-world.ts';
import { JournalWorld, writeLine } from './journal-world.ts';

const SEEDS = Array.from({ length: 16 }, (_, n) => n + 1);
const STEPS = 60;
/** Shorter than a late landing takes, so puts land in slots that were deleted meanwhile. */
const GRACE_PERIOD_MS = 3_000;
const LATE_MS = 8_000;

/**
 * A cluster's life: writers that are superseded and go on as zombies, followers that read the bucket or ask any
 * writer, an object store that loses answers. Every state anybody had at a sequence is compared with every other.
 */
class Life {
  readonly world: JournalWorld;
  readonly writers: OpenJournal[] = [];
  readonly followers: OpenFollower[] = [];
  /** The state at each sequence, by whoever had it first. */
  readonly states = new Map<number, string>();
  readonly answered: string[] = [];
  readonly #underWay: Promise<unknown>[] = [];
  faultPercent = 15;
  #lines = 0;

  constructor(seed: number) {
    this.world = new JournalWorld(seed);
    this.world.bucket.onDelete = (key) => this.#checkSnapshot(key);
  }

  async takeOver(): Promise<void> {
    const store = this.world.store();
    store.faults = (operation) => this.#fault(operation);
    store.delayMs = () => this.world.env.random.below(20);
    const options = { snapshotEveryEntries: 3, gracePeriodMs: GRACE_PERIOD_MS };
    const writer = await this.world.open(options, store);
    this.see(writer.journal.committedSequence, stateOf(writer.image));
    writer.journal.onCommitted((sequence) => this.see(sequence, stateOf(writer.image)));
    this.writers.push(writer);
  }

  async follow(): Promise<void> {
    const store = this.world.store();
    store.faults = (operation) => this.#fault(operation);
    store.delayMs = () => this.world.env.random.below(20);
    const opened = await openFollower(this.world, { gracePeriodMs: GRACE_PERIOD_MS }, store);
    this.see(opened.follower.sequence, stateOf(opened.image));
    let last = opened.follower.sequence;
    opened.follower.onApplied((sequence, applied) => {
      if (applied === 'entry') expect(sequence).toBe(last + 1);
      else expect(sequence).toBeGreaterThan(last);
      last = sequence;
      expect(opened.follower.sequence).toBe(sequence);
      this.see(sequence, stateOf(opened.image));
    });
    this.followers.push(opened);
  }

  write(): void {
    const { random } = this.world.env;
    // Mostly the newest writer; now and then one that does not know yet that it was superseded.
    const writer = random.chance(0.8) ? this.writers.at(-1) : this.any(this.writers);
    for (let more = random.between(1, 3); more > 0 && writer !== undefined; more--) {
      const line = `line ${this.#lines++}`;
      const outcome = writeLine(writer.journal, line).then(
        () => this.answered.push(line),
        () => undefined,
      );
      this.#underWay.push(outcome);
    }
  }

  read(): void {
    const opened = this.any(this.followers);
    const writer = this.any(this.writers);
    if (opened === undefined || writer === undefined) return;
    const { follower } = opened;
    const recent = writer.journal.entriesAfter(follower.sequence, this.world.env.random.below(400));
    if (recent === 'too-far-behind' || this.world.env.random.chance(0.3)) {
      this.#underWay.push(follower.catchUp());
    } else {
      follower.apply(recent.entries);
    }
  }

  /** Everybody comes to the end of the log. */
  async heal(): Promise<void> {
    this.faultPercent = 0;
    const { world } = this;
    await world.run(Promise.all(this.#underWay));
    await world.env.clock.advance(2 * LATE_MS);
    await this.takeOver();
    for (const { follower } of this.followers) await world.run(follower.catchUp());
    for (const key of world.bucket.objects.keys()) this.#checkSnapshot(key);
  }

  see(sequence: number, state: string): void {
    const known = this.states.get(sequence);
    if (known === undefined) this.states.set(sequence, state);
    else expect({ sequence, state }).toEqual({ sequence, state: known });
  }

  any<T>(among: readonly T[]): T | undefined {
    return among[this.world.env.random.below(among.length)];
  }

  #checkSnapshot(key: string): void {
    if (!key.startsWith('meta/snap/')) return;
    const stored = this.world.bucket.objects.get(key);
    if (stored === undefined) throw new Error(`there is no ${key}`);
    this.see(sequenceOf(key), Buffer.from(decodeSnapshot(stored.body, key).state).toString('hex'));
  }

  #fault(operation: StoreOperation): StoreFault | undefined {
    const { random } = this.world.env;
    if (random.below(100) >= this.faultPercent) return undefined;
    if (operation !== 'put') return { kind: 'fail' };
    const faults: readonly StoreFault[] = [
      { kind: 'fail' },
      { kind: 'lose-answer' },
      { kind: 'conflict' },
      { kind: 'land-late', afterMs: 60 },
      { kind: 'land-late', afterMs: LATE_MS },
    ];
    return this.any(faults);
  }
}

describe('I20: a follower has byte for byte the state of the writer, at every sequence', () => {
  test.each(SEEDS)('seed %i', async (seed) => {
    const life = new Life(seed);
    const { clock, random } = life.world.env;
    await life.takeOver();
    await life.follow();
    await life.follow();
    for (let step = 0; step < STEPS; step++) {
      const dice = random.below(100);
      if (dice < 4) await life.takeOver();
      else if (dice < 6) await life.follow();
      else if (dice < 50) life.write();
      else life.read();
      await clock.advance(random.chance(0.1) ? random.below(2 * GRACE_PERIOD_MS) : random.below(100));
    }
    await life.heal();

    const newest = life.writers.at(-1);
    const end = newest?.journal.committedSequence ?? 0;
    for (const { follower, image } of life.followers) {
      expect(follower).toMatchObject({ sequence: end, epoch: newest?.journal.epoch });
      expect(stateOf(image)).toBe(life.states.get(end));
    }
    // The comparison means something: hardly a sequence went by unseen, and all that was answered is in.
    expect(life.states.size).toBeGreaterThan(0.9 * end);
    const lines = newest?.image.lines ?? [];
    expect(new Set(lines).size).toBe(lines.length);
    for (const line of life.answered) expect(lines).toContain(line);
  });
});
