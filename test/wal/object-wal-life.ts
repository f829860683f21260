import type { ObjectWal, ObjectWalOptions } from '../../broker-runtime/src/wal/object-wal.ts';
import type { WalGroup, RecoveredGroup } from '../../broker-runtime/src/wal/wal.ts';
import type { FaultPlan } from '../simulation/world/memory-object-store.ts';
import type { SimRandom } from '../simulation/world/sim-random.ts';
import { describeEntry, KIB, payload } from './block-wal-world.ts';
import type { ObjectWalWorld, OpenObjectLog, ProcessStore } from './object-wal-world.ts';

/** What one process wrote and was told, and what was read back of it: the model of protocol 3.1, S1 to S7. */
export class Life {
  readonly nodeEpoch: number;
  readonly store: ProcessStore;
  /** Each group as it was appended. */
  readonly #groups = new Map<number, string[]>();
  /** Set when the log is open; a life may end before. */
  log: OpenObjectLog | undefined;
  firstSequence = 1;
  acked = 0;
  trimmed = 0;
  /** Where the first to recover found the end. */
  recoveredEnd: number | undefined;

  constructor(nodeEpoch: number, store: ProcessStore) {
    this.nodeEpoch = nodeEpoch;
    this.store = store;
  }

  opened(log: OpenObjectLog): void {
    this.log = log;
    this.firstSequence = log.wal.durableSequence + 1;
    this.trimmed = log.wal.durableSequence;
    this.acked = log.wal.durableSequence;
  }

  appended(group: WalGroup): void {
    const entry = group.entries.at(-1);
    if (entry === undefined) throw new Error('an append adds an entry');
    this.#groups.set(group.sequence, [...(this.#groups.get(group.sequence) ?? []), describeEntry(entry)]);
  }

  /** I29: dense, from the trim point, each group as it was appended. */
  recovered(groups: readonly RecoveredGroup[], endSequence: number): string[] {
    // Whoever reads later may find more, but already the first must find all that was acknowledged.
    this.recoveredEnd = Math.min(endSequence, this.recoveredEnd ?? endSequence);
    const problems: string[] = [];
    const first = groups[0]?.sequence ?? endSequence + 1;
    if (first > this.trimmed + 1) problems.push(`recovery begins at ${first}, trimmed is ${this.trimmed}`);
    for (const [index, group] of groups.entries()) {
      if (group.sequence !== first + index) problems.push(`group ${group.sequence} is out of order`);
      const got = group.entries.map(describeEntry).join();
      if (got !== this.#groups.get(group.sequence)?.join())
        problems.push(`group ${group.sequence} has other bytes`);
    }
    return problems;
  }

  /** I1, I7: asked when all is quiet, because a zombie is told late what was durable early. */
  lost(): string[] {
    const { recoveredEnd, acked } = this;
    if (recoveredEnd === undefined || acked <= recoveredEnd) return [];
    return [`epoch ${this.nodeEpoch}: group ${acked} was acknowledged, recovered is up to ${recoveredEnd}`];
  }
}

/** Appends, waits and trims at random until told to stop; what never settles leaves it hanging. */
export async function produce(
  world: ObjectWalWorld,
  life: Life,
  random: SimRandom,
  isOver: () => boolean,
): Promise<void> {
  const { log } = life;
  if (log === undefined) throw new Error('a log is opened first');
  const { wal, listener } = log;
  const trim = (upTo: number): void => {
    if (upTo <= life.trimmed || isOver()) return;
    life.trimmed = upTo;
    void wal.trim(upTo);
  };
  listener.onDurableGroup = (group) => {
    life.acked = group.sequence;
    if (random.below(3) === 0) trim(life.acked - random.below(6));
  };
  for (let offset = 0; !isOver() && listener.failures.length === 0; offset++) {
    const lengthBytes = random.below(8) === 0 ? random.below(24 * KIB) : random.below(900);
    const waiting = wal.admit(lengthBytes, 1);
    if (waiting !== undefined) {
      trim(life.acked);
      await waiting;
    }
    append(wal, life, random.below(4), offset, lengthBytes);
    if (random.below(3) !== 0) await world.env.clock.sleep(random.below(120) / 10);
  }
}

function append(wal: ObjectWal, life: Life, streamId: number, offset: number, lengthBytes: number): void {
  // A log that failed while this producer slept takes nothing; the loop sees it next time round.
  if (life.log !== undefined && life.log.listener.failures.length > 0) return;
  life.appended(wal.append(streamId, offset, 1, -1, payload(offset, lengthBytes)));
}

/** Lost, late and refused requests; puts of the fence land late too, but only under their condition. */
export function stormOf(random: SimRandom, oneIn: number): FaultPlan {
  return (operation) => {
    if (random.below(oneIn) !== 0) return undefined;
    const draw = random.below(4);
    if (draw === 0) return { kind: 'fail' };
    if (draw === 1) return { kind: 'lose-answer' };
    if (operation === 'put' && draw === 2) return { kind: 'conflict' };
    return { kind: 'land-late', afterMs: 5 + random.below(400) };
  };
}

export function drawOptions(random: SimRandom): Partial<ObjectWalOptions> {
  return {
    putsInFlight: 1 + random.below(5),
    groupDelayMs: random.below(2) * 8,
    trimIntervalMs: 1 + random.below(40),
  };
}
