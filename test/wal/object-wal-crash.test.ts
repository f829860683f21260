import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { SimRandom } from '../simulation/world/sim-random.ts';
import { parseGroupKey } from '../../broker-runtime/src/wal/object/keys.ts';
import { describeEntry, OWNER } from './block-wal-world.ts';
import { drawOptions, Life, produce, stormOf } from './object-wal-life.ts';
import { ObjectWalWorld, type Recovered } from './object-wal-world.ts';

interface Ending {
  /** The request at which it ends. */
  readonly atRequest: number;
  /** `die`: hears nothing more. `pause`: wakes up again later, a zombie. */
  readonly how: 'die' | 'pause';
  /** Requests after which the first to recover dies as well; 0: does not. */
  readonly recovererDiesAt: number;
}

/** One life after another of the same node, each fencing and recovering the one before. */
class Lives {
  readonly world: ObjectWalWorld;
  readonly problems: string[] = [];
  readonly #lives: Life[] = [];
  readonly #random: SimRandom;
  readonly #oneIn: number;

  constructor(seed: number, oneIn: number) {
    this.world = new ObjectWalWorld(seed);
    this.#random = new SimRandom(seed);
    this.#oneIn = oneIn;
    this.world.bucket.onDelete = (key) => {
      this.#checkDelete(key);
    };
  }

  async live({ atRequest, how, recovererDiesAt }: Ending): Promise<void> {
    const { clock } = this.world.env;
    const store = this.world.process();
    const life = new Life(this.world.nodeEpoch + 10, store);
    const ending = { isOver: false };
    let requests = 0;
    store.inner.faults = stormOf(this.#random, this.#oneIn);
    store.onRequest = () => {
      if (++requests !== atRequest) return;
      ending.isOver = true;
      if (how === 'die') store.die();
      else {
        store.pause();
        clock.timer(this.#random.below(3000), () => {
          store.resume();
        });
      }
    };
    const failure = this.world
      .start(drawOptions(this.#random), store, (read) => {
        this.#check(read);
      })
      .then((log) => {
        life.opened(log);
        this.#lives.push(life);
        return produce(this.world, life, this.#random, () => ending.isOver);
      })
      .catch((error: unknown) => {
        // A zombie that had not opened yet is refused; one that had may find its log failed when it wakes up.
        if (!ending.isOver) this.problems.push(String(error));
      });
    for (let step = 0; step < 8000 && requests < atRequest; step++) await clock.advance(5);
    expect(requests).toBeGreaterThanOrEqual(atRequest);
    void failure;
    await clock.advance(this.#random.below(50));
    if (recovererDiesAt > 0) await this.#recoverAndDie(recovererDiesAt);
  }

  /** The last word: all is quiet, a neighbour recovers, twice. */
  async end(): Promise<void> {
    const { world } = this;
    await world.env.clock.advance(10_000);
    const epoch = world.nodeEpoch;
    const first = await world.run(world.takeOver({ epoch, recoverer: 8, attempt: 90 }));
    this.#check(first);
    const second = await world.run(world.takeOver({ epoch, recoverer: 9, attempt: 91 }));
    expect(second.recovered.map(({ entries }) => entries.map(describeEntry))).toEqual(
      first.recovered.map(({ entries }) => entries.map(describeEntry)),
    );
    await world.env.clock.advance(10_000);
    for (const life of this.#lives) this.problems.push(...life.lost());
    expect(this.problems).toEqual([]);
  }

  get acked(): number {
    return this.#lives.at(-1)?.acked ?? 0;
  }

  async #recoverAndDie(atRequest: number): Promise<void> {
    const store = this.world.process();
    let requests = 0;
    store.onRequest = () => {
      if (++requests === atRequest) store.die();
    };
    void this.world
      .takeOver({ epoch: this.world.nodeEpoch, recoverer: 8, attempt: 1 }, store)
      .catch((error: unknown) => this.problems.push(String(error)));
    await this.world.env.clock.advance(500);
  }

  /** A process that died between its claim and its first group has an empty log, and none of the life before. */
  #check({ recovery, recovered }: Recovered): void {
    const life = this.#lives.find(({ nodeEpoch }) => nodeEpoch === recovery.nodeEpoch);
    if (life !== undefined) this.problems.push(...life.recovered(recovered, recovery.endSequence));
    else if (recovered.length > 0) this.problems.push(`epoch ${recovery.nodeEpoch} wrote nothing`);
  }

  /** I27: what goes was trimmed, or is of an epoch that a later one has recovered. */
  #checkDelete(key: string): void {
    const name = parseGroupKey(key);
    const life = this.#lives.find(({ nodeEpoch }) => nodeEpoch === name?.nodeEpoch);
    if (name === undefined || life === undefined) return;
    const isReplaced = Number(this.world.fence()['logEpoch']) > name.nodeEpoch;
    if (name.nodeId !== OWNER.nodeId || (!isReplaced && name.sequence > life.trimmed)) {
      this.problems.push(`${key} was deleted, trimmed is ${life.trimmed}`);
    }
  }
}

describe('An object WAL whose process dies', () => {
  test('loses nothing acknowledged, at whichever of its requests that is', async () => {
    let acked = 0;
    for (let atRequest = 1; atRequest <= 90; atRequest++) {
      const lives = new Lives(atRequest, 20);
      await lives.live({ atRequest, how: 'die', recovererDiesAt: atRequest % 7 });
      await lives.end();
      acked += lives.acked;
    }
    // Else nothing was tested.
    expect(acked).toBeGreaterThan(500);
  });

  test('nor life after life, with zombies that wake up, in a storm of lost and late answers', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          seed: fc.nat(1_000_000),
          oneIn: fc.constantFrom(4, 12, 1000),
          endings: fc.array(
            fc.record({
              atRequest: fc.integer({ min: 1, max: 150 }),
              how: fc.constantFrom('die' as const, 'pause' as const),
              recovererDiesAt: fc.integer({ min: 0, max: 12 }),
            }),
            { minLength: 2, maxLength: 5 },
          ),
        }),
        async ({ seed, oneIn, endings }) => {
          const lives = new Lives(seed, oneIn);
          for (const ending of endings) await lives.live(ending);
          await lives.end();
        },
      ),
      { numRuns: 25 },
    );
  });
});
