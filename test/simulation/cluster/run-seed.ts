import { collectableSignals } from '../world/collectable-signals.ts';
import { SimRandom } from '../world/sim-random.ts';
import { type ClusterPlan, ClusterWorld, type Sabotage } from './cluster-world.ts';
import { FAULT_KINDS, FaultInjector, type FaultKind } from './fault-plan.ts';
import type { TopicKind } from './topic-kinds.ts';
import { Workload } from './workload.ts';

const START_LIMIT_MS = 120_000;
/** I37: after everything healed, every partition takes a record and everything is readable within this. */
const LIVENESS_LIMIT_MS = 240_000;

const TRIMMED_KINDS: readonly TopicKind[] = ['trimmed', 'retained', 'compacted'];

export interface SeedPlan extends ClusterPlan {
  readonly topics: readonly {
    readonly name: string;
    readonly partitions: number;
    readonly producers: number;
    readonly kind?: TopicKind;
  }[];
  /** Groups that commit offsets of the first topic. */
  readonly groups: number;
  /** Those who create and delete topics. */
  readonly churners: number;
  readonly producerPauseMs: number;
  readonly kinds: readonly FaultKind[];
  readonly troubleMs: number;
  /** Between two faults; default: as the seed draws it. */
  readonly leastPaceMs?: number;
}

export interface SeedResult {
  readonly seed: number;
  readonly violations: readonly string[];
  readonly hits: ReadonlyMap<string, number>;
  readonly events: ReadonlyMap<string, number>;
  readonly lines: readonly string[];
  readonly fingerprint: string;
  readonly simulatedMs: number;
  readonly acknowledged: number;
  readonly read: number;
  readonly entries: number;
}

/** Draws everything of a seed: how many brokers where, how small the limits, which faults (protocol swarm). */
export function drawPlan(seed: number): SeedPlan {
  const random = new SimRandom(seed ^ 0x5eed);
  // One alone has a simulation of its own; here it is there for what the others do not reach.
  const brokers = random.chance(0.1) ? 1 : random.between(2, 5);
  const zoneCount = random.between(1, Math.min(3, brokers));
  const zones = Array.from({ length: brokers }, (_, n) => `zone-${'abc'[n % zoneCount] ?? 'a'}`);
  const topics = Array.from({ length: random.between(1, 3) }, (_, n) => ({
    name: `t${n}`,
    partitions: random.between(1, 4),
    producers: random.between(1, 2),
  }));
  const plan = {
    zones,
    wal: random.chance(0.35) ? 'object' : 'block-shared',
    sessionTimeoutMs: random.between(1_500, 6_000),
    storePaces: {
      uploadIntervalMs: random.between(500, 6_000),
      garbageIntervalMs: random.between(1_000, 5_000),
      deleteDelayMs: random.between(30_000, 60_000),
      compactionIntervalMs: random.between(2_000, 10_000),
      compactionFanIn: random.between(2, 6),
      prepareTtlMs: random.between(10_000, 120_000),
      closeTimeoutMs: random.between(2_000, 30_000),
    },
    storeDelayMs: [1, random.between(5, 120)],
    settings: { 'log.retention.check.interval.ms': '5000', 'log.cleaner.backoff.ms': '1000' },
    topics,
    producerPauseMs: random.between(80, 800),
    kinds: FAULT_KINDS.filter(() => random.chance(0.5)),
    troubleMs: random.between(15_000, 40_000),
  } as const;
  const kinds = TRIMMED_KINDS.filter(() => random.chance(0.4));
  const trimmed = kinds.map((kind) => ({
    name: kind,
    partitions: random.between(1, 2),
    producers: random.between(1, 2),
    kind,
  }));
  return {
    ...plan,
    topics: [...topics, ...trimmed],
    groups: random.chance(0.4) ? 1 : 0,
    churners: random.chance(0.3) ? 1 : 0,
  };
}

/** One seed: faults, then everything heals, then all must be writable and all must be there. */
export async function runSeed(
  seed: number,
  plan: SeedPlan = drawPlan(seed),
  sabotage: Sabotage = {},
): Promise<SeedResult> {
  const ownSignals = collectableSignals();
  const world = new ClusterWorld(seed, { ...plan, sabotage });
  const workload = new Workload(world);
  const faults = new FaultInjector(world, world.random.fork(), plan.kinds, plan.leastPaceMs);
  const onStray = (error: unknown): void => {
    world.violate(
      `nobody handled: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
  };
  process.on('unhandledRejection', onStray);
  try {
    for (const machine of world.machines) world.start(machine);
    const topics = Promise.all(
      plan.topics.map((topic) => workload.addTopic(topic, topic.producers, plan.producerPauseMs)),
    );
    await world.clock.run(topics, START_LIMIT_MS);
    const [topic] = plan.topics;
    for (let n = 0; n < plan.groups && topic !== undefined; n++) workload.addGroup(`g${n}`, topic);
    for (let n = 0; n < plan.churners; n++) workload.addChurn(`churn${n}`);
    await world.clock.run(faults.run(plan.troubleMs), plan.troubleMs + 10_000);
    await world.clock.run(faults.heal(), START_LIMIT_MS);
    const healed = async (): Promise<void> => {
      await workload.finish();
      await workload.drain();
      world.observer.checkAllObjects();
    };
    if (world.violations.length === 0) await world.clock.run(healed(), LIVENESS_LIMIT_MS);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    world.violate(text.startsWith('the work is not settled') ? `I37: ${text}` : onText(error));
    for (const line of [...workload.describe(), ...world.describe()]) world.events.note('end', line);
  } finally {
    world.end();
    // What was under way ends without anybody noticing.
    await world.clock.settle();
    process.off('unhandledRejection', onStray);
    ownSignals();
  }
  return {
    seed,
    violations: world.violations,
    hits: faults.hits,
    events: new Map([...world.events.counts, ...workload.marks]),
    lines: world.events.lines,
    fingerprint: world.clock.fingerprint,
    simulatedMs: world.clock.monotonicMs(),
    acknowledged: workload.history.acknowledged,
    read: workload.history.read,
    entries: world.observer.entries,
  };
}

function onText(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
