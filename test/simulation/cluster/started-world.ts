import { type ClusterPlan, ClusterWorld } from './cluster-world.ts';
import { drawPlan } from './run-seed.ts';

const LOOK_EVERY_MS = 10;
const START_LIMIT_MS = 60_000;

/** A world in which a broker serves on every machine, on shared volumes, and nothing is broken yet. */
export async function startedWorld(
  seed: number,
  zones: readonly string[],
  plan: Partial<Pick<ClusterPlan, 'sessionTimeoutMs'>> = {},
): Promise<ClusterWorld> {
  const world = new ClusterWorld(seed, { ...drawPlan(seed), ...plan, zones, wal: 'block-shared' });
  for (const machine of world.machines) world.start(machine);
  const allServe = async (): Promise<void> => {
    while (world.machines.some(({ process }) => process?.broker === undefined)) {
      await world.clock.sleep(LOOK_EVERY_MS);
    }
  };
  await world.clock.run(allServe(), START_LIMIT_MS);
  return world;
}
