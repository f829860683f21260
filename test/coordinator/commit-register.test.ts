import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import {
  CoordinatorWorld,
  GROUP,
  commit,
  committed,
  heartbeat,
  join,
  stableGroup,
  watch,
} from './coordinator-world.ts';

/**
 * A committed offset is a linearizable register of the last acknowledged commit (I16). Every commit writes the next
 * number, so what a read may return is simple: never less than was acknowledged or read before, never more than was
 * asked for, also across crashes that keep any part of what was not durable.
 */
type Step =
  | { readonly kind: 'commit' | 'fsync' | 'one-group' | 'hold' | 'admit' | 'expire' | 'compact' }
  | { readonly kind: 'crash'; readonly keepGroups: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.constant({ kind: 'commit' } as const) },
  { weight: 3, arbitrary: fc.constant({ kind: 'fsync' } as const) },
  { weight: 4, arbitrary: fc.constant({ kind: 'one-group' } as const) },
  { weight: 2, arbitrary: fc.constant({ kind: 'hold' } as const) },
  { weight: 3, arbitrary: fc.constant({ kind: 'admit' } as const) },
  { weight: 1, arbitrary: fc.constant({ kind: 'expire' } as const) },
  { weight: 1, arbitrary: fc.constant({ kind: 'compact' } as const) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('crash' as const), keepGroups: fc.nat(4) }) },
);

class Register {
  world: CoordinatorWorld;
  #asked = 0;
  #acked = 0;
  #read = 0;
  readonly #violations: string[] = [];

  constructor(world: CoordinatorWorld) {
    this.world = world;
    this.#slowDisk();
  }

  async do(step: Step): Promise<readonly string[]> {
    const stream = this.world.streams.get(0);
    if (step.kind === 'crash') await this.#crash(step.keepGroups);
    else if (step.kind === 'commit') this.#commit();
    else if (step.kind === 'fsync') await this.world.makeDurable();
    else if (step.kind === 'one-group') stream?.settleOneGroup();
    else if (step.kind === 'hold') this.world.hold();
    else if (step.kind === 'admit') await this.world.admit();
    else if (step.kind === 'expire') await this.world.advance(11 * 60_000);
    else await this.#compact();
    await this.world.settle();
    stream?.sealGroup();
    this.#look();
    return this.#violations;
  }

  #commit(): void {
    const offset = ++this.#asked;
    void commit(this.world, { offset }).then((error) => {
      if (error === Errors.NONE) this.#acked = Math.max(this.#acked, offset);
    });
  }

  #look(): void {
    const seen = committed(this.world) ?? 0;
    if (seen < this.#acked) this.#violations.push(`read ${seen} after ${this.#acked} was acknowledged`);
    if (seen < this.#read) this.#violations.push(`read ${seen} after ${this.#read} was read`);
    if (seen > this.#asked) this.#violations.push(`read ${seen}, only ${this.#asked} were asked for`);
    this.#read = seen;
  }

  async #compact(): Promise<void> {
    this.world.streams.get(0)?.upload();
    await this.world.env.clock.run(this.world.logs.get(0)?.maintain() ?? Promise.resolve());
  }

  async #crash(keepGroups: number): Promise<void> {
    this.world = await this.world.crash(keepGroups);
    this.#slowDisk();
  }

  #slowDisk(): void {
    for (const stream of this.world.streams.values()) stream.autoSettle = false;
  }
}

describe('the register of committed offsets', () => {
  test('is linearizable over slow disks, waiting admissions, compaction and crashes at every point', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
        const register = new Register(await CoordinatorWorld.start());
        for (const next of steps) expect(await register.do(next)).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });

  test('crashed after each of the steps of one commit: an acknowledged one is there, another may be', async () => {
    for (const keepGroups of [0, 1]) {
      for (const durable of [false, true]) {
        const world = await CoordinatorWorld.start();
        await commit(world, { offset: 1 });
        for (const stream of world.streams.values()) stream.autoSettle = false;
        const second = watch(commit(world, { offset: 2 }));
        await world.settle();
        if (durable) await world.makeDurable();
        const acked = second.value === Errors.NONE;
        expect(acked).toBe(durable);
        const after = committed(await world.crash(keepGroups));
        expect(after).toBe(acked || keepGroups === 1 ? 2 : 1);
      }
    }
  });
});

describe('a zombie (I17) changes nothing', () => {
  const mine = { instanceId: 'rack-1', generationId: 1 };
  const events: Record<string, (world: CoordinatorWorld, memberId: string) => unknown> = {
    'after the group went on to the next generation': (world, memberId) =>
      join(world, { memberId, instanceId: 'rack-1' }),
    'after another instance took its place': (world) => join(world, { instanceId: 'rack-1' }),
    'after it left': (world, memberId) =>
      world.coordinator.leave(GROUP, [{ memberId, instanceId: 'rack-1' }]),
    'after its session passed': (world) => world.advance(20_000),
  };

  test.each(Object.entries(events))('%s', async (_what, happens) => {
    const world = await CoordinatorWorld.start();
    const [member] = await stableGroup(world, [{ instanceId: 'rack-1' }]);
    const zombie = { ...mine, memberId: member?.memberId ?? '' };
    await commit(world, { ...zombie, offset: 10 });
    await happens(world, zombie.memberId);
    const refusals = [Errors.ILLEGAL_GENERATION, Errors.FENCED_INSTANCE_ID, Errors.UNKNOWN_MEMBER_ID];
    expect(refusals).toContain(await commit(world, { ...zombie, offset: 5 }));
    expect(refusals).toContain(heartbeat(world, zombie));
    expect(committed(world)).toBe(10);
    expect(committed(await world.crash())).toBe(10);
  });
});
