import { describe, expect, test } from '@jest/globals';
import {
  READ_AHEAD_BYTES,
  READ_AHEAD_ENTRIES,
  readAhead,
  type Slot,
} from '../../broker-runtime/src/wal/conditional/read-ahead.ts';
import { logKey, sequenceOf } from '../../broker-runtime/src/wal/conditional/keys.ts';
import { LogFollower } from '../../broker-runtime/src/wal/log-follower.ts';
import { ReplicatedLog } from '../../broker-runtime/src/wal/replicated-log.ts';
import type { StoredObject } from '../../broker-runtime/src/ports/object-store.ts';
import { MemoryObjectStore } from '../simulation/world/memory-object-store.ts';
import { SimRandom } from '../simulation/world/sim-random.ts';
import { JournalWorld, LinesImage, writeLine } from './journal-world.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

function slotsOf(sizes: readonly (number | undefined)[]): Slot[] {
  return sizes.map((sizeBytes, n) => ({ sequence: n + 1, sizeBytes }));
}

/** What {@link readAhead} has begun to read and not yet handed out; one that is not listed may have any size. */
class Held {
  readonly slots: readonly Slot[];
  readonly #open = new Set<number>();
  mostEntries = 0;
  mostBytes = 0;

  constructor(slots: readonly Slot[]) {
    this.slots = slots;
  }

  get bytes(): number {
    const sizes = this.slots.filter(({ sequence }) => this.#open.has(sequence)).map((slot) => slot.sizeBytes);
    return sizes.reduce<number>((sum, bytes = READ_AHEAD_BYTES) => sum + bytes, 0);
  }

  readonly read = async (sequence: number): Promise<number> => {
    this.#open.add(sequence);
    this.mostEntries = Math.max(this.mostEntries, this.#open.size);
    if (this.#open.size > 1) this.mostBytes = Math.max(this.mostBytes, this.bytes);
    await Promise.resolve();
    return sequence;
  };

  async takeAll(): Promise<number[]> {
    const taken: number[] = [];
    for await (const { sequence, found } of readAhead(this.slots, this.read)) {
      expect(found).toBe(sequence);
      this.#open.delete(sequence);
      taken.push(sequence);
    }
    return taken;
  }
}

describe('reading ahead', () => {
  test('bytes decide how many large entries are under way, the number how many small ones', async () => {
    const large = new Held(slotsOf(new Array(100).fill(4 * MIB)));
    expect(await large.takeAll()).toHaveLength(100);
    expect(large).toMatchObject({ mostEntries: 2, mostBytes: READ_AHEAD_BYTES });

    const small = new Held(slotsOf(new Array(1_000).fill(KIB)));
    expect(await small.takeAll()).toHaveLength(1_000);
    expect(small.mostEntries).toBe(READ_AHEAD_ENTRIES);
  });

  test.each([
    ['larger than the limit', READ_AHEAD_BYTES + 1],
    ['of unknown size', undefined],
  ])('one %s is read alone', async (_what, sizeBytes) => {
    const held = new Held(slotsOf([KIB, sizeBytes, KIB, KIB]));
    expect(await held.takeAll()).toEqual([1, 2, 3, 4]);
    expect(held).toMatchObject({ mostEntries: 2, mostBytes: 2 * KIB });
  });

  test('whatever the sizes: in order, each once, never above the limits', async () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = new SimRandom(seed);
      const sizes = Array.from({ length: random.between(1, 200) }, () =>
        random.chance(0.05) ? undefined : random.below(random.chance(0.25) ? 5 * MIB : 64 * KIB),
      );
      const held = new Held(slotsOf(sizes));
      expect({ seed, taken: await held.takeAll() }).toEqual({ seed, taken: sizes.map((_, n) => n + 1) });
      expect({ seed, isBounded: held.mostBytes <= READ_AHEAD_BYTES }).toEqual({ seed, isBounded: true });
      expect(held.mostEntries).toBeLessThanOrEqual(READ_AHEAD_ENTRIES);
    }
  });

  test('whoever stops taking waits until nothing is under way, also when a read fails', async () => {
    let underWay = 0;
    const read = async (sequence: number): Promise<void> => {
      underWay++;
      for (let turn = 0; turn < 5 * sequence; turn++) await Promise.resolve();
      underWay--;
      if (sequence === 2) throw new RangeError('no entry 2');
    };
    const slots = slotsOf(new Array(10).fill(1));
    for await (const { sequence } of readAhead(slots, read)) {
      expect(sequence).toBe(1);
      expect(underWay).toBeGreaterThan(0);
      break;
    }
    expect(underWay).toBe(0);
    const taking = async (): Promise<void> => {
      for await (const { found } of readAhead(slots, read)) expect(found).toBeUndefined();
    };
    await expect(taking()).rejects.toThrow('no entry 2');
    expect(underWay).toBe(0);
  });
});

/** Remembers how many bytes were asked for and not answered, at most. */
class MeasuredStore extends MemoryObjectStore {
  mostBytes = 0;
  #bytes = 0;

  override async get(key: string): Promise<StoredObject> {
    const bytes = this.bucket.objects.get(key)?.body.length ?? 0;
    this.#bytes += bytes;
    this.mostBytes = Math.max(this.mostBytes, this.#bytes);
    try {
      return await super.get(key);
    } finally {
      this.#bytes -= bytes;
    }
  }
}

const ROUND_MS = 100;

/** A log of one entry for each line, and a store that answers each request in one round. */
async function writtenLog(lines: readonly string[]): Promise<{ world: JournalWorld; store: MeasuredStore }> {
  const world = new JournalWorld();
  const { journal } = await world.open({ snapshotEveryEntries: 1e6, snapshotEveryBytes: 1e12 });
  for (const line of lines) await world.run(writeLine(journal, line));
  await world.run(journal.close());
  const store = new MeasuredStore(world.env.clock, world.bucket);
  store.delayMs = () => ROUND_MS;
  return { world, store };
}

describe('the tail of the metadata log', () => {
  const large = Array.from({ length: 10 }, (_, n) => String(n).repeat(3 * MIB));

  test('failure class: unbounded read-ahead: 64 of the largest entries were read at once, 272 MB', async () => {
    const { world, store } = await writtenLog(large);
    const { image } = await world.open({}, store);
    expect(image.lines).toEqual(large);
    expect(store.mostBytes).toBeGreaterThan(2 * 3 * MIB);
    expect(store.mostBytes).toBeLessThanOrEqual(READ_AHEAD_BYTES);
  });

  test('failure class: unbounded read-ahead: 16 of the largest entries of a replica, 68 MB', async () => {
    const { world, store } = await writtenLog(large);
    const image = new LinesImage();
    const replay = async (): Promise<number | undefined> => {
      const log = await ReplicatedLog.survey(world.env, store, new AbortController().signal);
      const replayed = await log?.replay({ sequence: 0, key: null }, [image], () => true);
      expect(replayed?.cutShortBy).toBeUndefined();
      return replayed?.end.sequence;
    };
    expect(await world.run(replay())).toBe(1 + large.length);
    expect(image.lines).toEqual(large);
    expect(store.mostBytes).toBeLessThanOrEqual(READ_AHEAD_BYTES);
  });

  test('a round reads 64 small entries, and none is read in vain', async () => {
    const cost = async (count: number): Promise<{ rounds: number; gets: number }> => {
      const { world, store } = await writtenLog(Array.from({ length: count }, (_, n) => `line ${n}`));
      const begunMs = world.env.clock.monotonicMs();
      expect((await world.open({}, store)).image.lines).toHaveLength(count);
      return { rounds: (world.env.clock.monotonicMs() - begunMs) / ROUND_MS, gets: store.requests.get };
    };
    // One entry is there always: the writer's own.
    const least = await cost(0);
    for (const [count, rounds] of [
      [63, 0],
      [64, 1],
      [640, 10],
      // The second page was listed meanwhile; its entry.
      [1_000, 15 + 1],
    ] as const) {
      expect(await cost(count)).toEqual({ rounds: least.rounds + rounds, gets: least.gets + count });
    }
  });

  test.each([ROUND_MS, 20 * ROUND_MS])(
    'failure class: a reader behind a writer that goes on never ended: a broker did not start under load (%i ms an answer)',
    async (answerMs) => {
      const world = new JournalWorld();
      const { journal, store } = await world.open();
      for (let n = 0; n < 20; n++) await world.run(writeLine(journal, `before ${n}`));
      store.delayMs = () => answerMs;
      const end = { isOver: false };
      const writing = (async () => {
        for (let n = 0; !end.isOver; n++) await writeLine(journal, `meanwhile ${n}`);
      })();
      const reading = world.store();
      reading.delayMs = () => answerMs;
      const image = new LinesImage();
      const begunMs = world.env.clock.monotonicMs();
      const follower = await world.run(LogFollower.open(world.env, reading, [image]));
      expect(image.lines.slice(0, 20)).toEqual(Array.from({ length: 20 }, (_, n) => `before ${n}`));
      // The floor twice, a list, the entries.
      expect(world.env.clock.monotonicMs() - begunMs).toBeLessThanOrEqual(4 * answerMs);
      const committed = journal.committedSequence;
      expect(await world.run(follower?.catchUp() ?? Promise.resolve(0))).toBeGreaterThanOrEqual(committed);
      end.isOver = true;
      await world.run(writing);
    },
  );

  test('a list that passed an entry over while it was written is no damage; an entry that is gone is', async () => {
    const lines = Array.from({ length: 20 }, (_, n) => `line ${n}`);
    for (const hidden of [1, 7, 21]) {
      const { world, store } = await writtenLog(lines);
      const list = store.list.bind(store);
      let lists = 0;
      store.list = async (...args) => {
        const page = await list(...args);
        if (++lists > 1) return page;
        return { ...page, objects: page.objects.filter(({ key }) => sequenceOf(key) !== hidden) };
      };
      expect((await world.open({}, store)).image.lines).toEqual(lines);
      world.bucket.objects.delete(logKey(hidden));
      await expect(world.open({}, world.store())).rejects.toThrow(/is missing while the log is listed up to/);
    }
  });
});
