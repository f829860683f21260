import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { OffsetOutOfRangeError } from '../../broker-runtime/src/store/stream.ts';
import type { StreamEntry } from '../../broker-runtime/src/store/stream.ts';
import type { WalGroup } from '../../broker-runtime/src/wal/wal.ts';
import type { StoreFault } from '../simulation/world/memory-object-store.ts';
import { SimRandom } from '../simulation/world/sim-random.ts';
import { describeEntry, each, payload, StoreWorld } from './store-world.ts';

const STREAMS = 3;

type Step =
  | { readonly kind: 'append'; readonly stream: number; readonly entries: number; readonly bytes: number }
  | { readonly kind: 'flush' | 'check'; readonly stream: number }
  | { readonly kind: 'trim' | 'replace'; readonly stream: number; readonly part: number }
  | { readonly kind: 'compact' | 'collect' | 'crash' | 'stop' | 'outage' }
  | { readonly kind: 'wait'; readonly ms: number };

const streamArbitrary = fc.nat(STREAMS - 1);
const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      stream: streamArbitrary,
      entries: fc.integer({ min: 1, max: 12 }),
      bytes: fc.oneof(fc.nat(60), fc.integer({ min: 500, max: 4000 })),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('flush', 'check'), stream: streamArbitrary }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('trim', 'replace'),
      stream: streamArbitrary,
      part: fc.nat(100),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constantFrom('compact', 'collect', 'crash', 'stop', 'outage') }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(60_000) }) },
);

/** What a stream must hold, as its user knows it. */
class Model {
  readonly entries = new Map<number, string>();
  /** Appended and not known to be durable when a crash came: may be there or not. */
  readonly unsure = new Map<number, string>();
  startOffset = 0;

  trim(offset: number): void {
    this.startOffset = Math.max(this.startOffset, offset);
  }

  expected(): string[] {
    return [...this.entries]
      .filter(([baseOffset]) => baseOffset >= this.startOffset)
      .sort(([a], [b]) => a - b)
      .map(([, text]) => text);
  }
}

/** Drives a world by steps and compares it with the models after each restart and at each check. */
class Life {
  readonly #world: StoreWorld;
  readonly #random: SimRandom;
  readonly #models = new Map<number, Model>();
  #streamIds: readonly number[] = [];

  constructor(seed: number) {
    this.#random = new SimRandom(seed);
    this.#world = new StoreWorld({
      seed,
      store: { deleteDelayMs: 30_000, prepareTtlMs: 120_000, rewriteTtlMs: 120_000 },
    });
    this.#world.prepareObjects = (objects) => {
      objects.delayMs = () => this.#random.below(40);
      objects.faults = (_operation, key) => this.#fault(key);
    };
    this.#world.bucket.onDelete = (key) => this.#mayVanish(key);
  }

  async run(steps: readonly Step[]): Promise<void> {
    await this.#world.start();
    this.#streamIds = await this.#world.createStreams(STREAMS);
    for (const id of this.#streamIds) this.#models.set(id, new Model());
    for (const step of steps) await this.#step(step);
    await this.#restart('stop');
    for (const id of this.#streamIds) await this.#check(id);
    expect(this.#world.failures).toEqual([]);
  }

  #fault(key: string): StoreFault | undefined {
    const draw = this.#random.below(40);
    if (draw === 0) return { kind: 'fail' };
    if (draw === 1) return { kind: 'lose-answer' };
    if (draw === 2) return { kind: 'conflict' };
    if (draw === 3) return { kind: 'land-late', afterMs: this.#random.below(5000) };
    // What the journal makes of damaged answers is tested with the journal.
    return draw === 4 && key.startsWith('data/') ? { kind: 'corrupt' } : undefined;
  }

  /** I24: no object that a range names is ever deleted. */
  #mayVanish(key: string): void {
    const objectId = Number(key.slice(key.lastIndexOf('/') + 1));
    if (!key.startsWith('data/')) return;
    for (const id of this.#streamIds) {
      for (const range of this.#world.manifest.ranges(id)) {
        if (range.objectId === objectId) throw new Error(`named object ${objectId} is deleted`);
      }
    }
  }

  async #step(step: Step): Promise<void> {
    const world = this.#world;
    switch (step.kind) {
      case 'append':
        return this.#append(this.#id(step.stream), step.entries, step.bytes);
      case 'flush':
        return world.run(world.store.stream(this.#id(step.stream)).flush());
      case 'check':
        return this.#check(this.#id(step.stream));
      case 'trim':
        return this.#trim(this.#id(step.stream), step.part);
      case 'replace':
        return this.#replace(this.#id(step.stream), step.part);
      case 'compact':
        await world.run(world.store.compact());
        return;
      case 'collect':
        await world.run(world.store.collectGarbage());
        return;
      case 'outage':
        world.objects.unavailable = true;
        await world.env.clock.advance(15_000);
        world.objects.unavailable = false;
        return;
      case 'wait':
        return world.env.clock.advance(step.ms);
      case 'crash':
      case 'stop':
        return this.#restart(step.kind);
    }
  }

  #id(n: number): number {
    return this.#streamIds[n] ?? 0;
  }

  #model(id: number): Model {
    const model = this.#models.get(id);
    if (model === undefined) throw new Error('no model');
    return model;
  }

  async #append(id: number, entries: number, bytes: number): Promise<void> {
    const stream = this.#world.store.stream(id);
    const model = this.#model(id);
    const groups: WalGroup[] = [];
    for (let n = 0; n < entries; n++) {
      const baseOffset = stream.endOffset;
      const count = 1 + this.#random.below(5);
      const body = payload(id, baseOffset, bytes, n);
      const group = await this.#world.run(this.#world.append(stream, body, count));
      groups.push(group);
      const text = describeEntry({ baseOffset, count, maxTimestampMs: 1000 + baseOffset, bytes: body });
      model.unsure.set(baseOffset, text);
      group.durable.then(
        () => {
          model.entries.set(baseOffset, text);
          model.unsure.delete(baseOffset);
        },
        () => undefined,
      );
    }
    // Some are still on their way to the disk when the next step comes, perhaps a crash.
    if (this.#random.chance(0.5)) await this.#world.run(Promise.all(groups.map((group) => group.durable)));
  }

  async #trim(id: number, part: number): Promise<void> {
    const stream = this.#world.store.stream(id);
    const target =
      stream.startOffset + Math.floor(((stream.durableOffset - stream.startOffset) * part) / 200);
    const bases = [...this.#model(id).entries.keys()].sort((a, b) => a - b);
    const offset = bases.find((base) => base >= target);
    if (offset === undefined || offset > stream.durableOffset) return;
    await this.#world.run(stream.trim(offset));
    this.#model(id).trim(offset);
  }

  async #replace(id: number, part: number): Promise<void> {
    const stream = this.#world.store.stream(id);
    const ranges = stream.ranges();
    const first = ranges[Math.floor((ranges.length * part) / 101)];
    const last = ranges[Math.min(ranges.length - 1, Math.floor((ranges.length * part) / 101) + 2)];
    if (first === undefined || last === undefined) return;
    const from = Math.max(first.startOffset, stream.startOffset);
    if (from !== first.startOffset) return;
    const old = (await this.#world.readAll(stream, from)).filter(
      (entry) => entry.baseOffset < last.endOffset,
    );
    const kept: StreamEntry[] = old.filter(() => this.#random.chance(0.6));
    await this.#world.run(stream.replace(first.startOffset, last.endOffset, each(kept)));
    const keptOffsets = new Set(kept.map((entry) => entry.baseOffset));
    for (const { baseOffset } of old) {
      if (!keptOffsets.has(baseOffset)) this.#model(id).entries.delete(baseOffset);
    }
  }

  async #restart(kind: 'crash' | 'stop'): Promise<void> {
    if (kind === 'stop') await this.#world.stop();
    else await this.#world.crash();
    await this.#world.start();
    for (const id of this.#streamIds) await this.#settleUnsure(id);
    for (const id of this.#streamIds) await this.#check(id);
  }

  /** What was not acknowledged may have survived, from the front: then it is there for good. */
  async #settleUnsure(id: number): Promise<void> {
    const model = this.#model(id);
    const { endOffset } = this.#world.store.stream(id);
    for (const [baseOffset, text] of model.unsure) {
      if (baseOffset < endOffset) model.entries.set(baseOffset, text);
    }
    model.unsure.clear();
  }

  async #check(id: number): Promise<void> {
    const world = this.#world;
    const stream = world.store.stream(id);
    const model = this.#model(id);
    expect(stream.startOffset).toBe(model.startOffset);
    await world.env.clock.advance(50);
    const entries = await world.readAll(stream, stream.startOffset, 1 + this.#random.below(12_000));
    expect(entries.map(describeEntry)).toEqual(model.expected());
    if (stream.startOffset > 0) {
      expect(() => stream.read(stream.startOffset - 1, 1)).toThrow(OffsetOutOfRangeError);
    }
    for (const share of world.running.memory.shares) {
      expect(share.usedBytes).toBeLessThanOrEqual(share.limitBytes);
    }
  }
}

describe('the whole life of streams', () => {
  test('agrees with a model under crashes, outages, lost answers, compaction, trim and replace', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(2 ** 31),
        fc.array(stepArbitrary, { minLength: 5, maxLength: 30 }),
        async (seed, steps) => {
          await new Life(seed).run(steps);
        },
      ),
      { numRuns: 40, endOnFailure: true },
    );
  }, 60_000);
});
