import {
  cutOffBroker,
  cutOffController,
  killBroker,
  loseAllButOne,
  loseController,
  pauseBroker,
  rollingRestart,
  upgradeAndBack,
} from './definitions/brokers.ts';
import {
  fullWal,
  loseZone,
  objectStoreOutage,
  objectStoreSlow,
  spotNoNotice,
  spotNotice,
} from './definitions/surroundings.ts';
import { type Drill, DrillRefusedError } from './drill.ts';

/** In the order in which `drill list` shows them: the commonest failure first. */
export const DRILLS: readonly Drill[] = [
  killBroker,
  pauseBroker,
  cutOffBroker,
  cutOffController,
  loseController,
  loseAllButOne,
  loseZone,
  rollingRestart,
  upgradeAndBack,
  spotNotice,
  spotNoNotice,
  objectStoreOutage,
  objectStoreSlow,
  fullWal,
];

export function drillNamed(name: string): Drill {
  const drill = DRILLS.find((one) => one.name === name);
  if (drill !== undefined) return drill;
  throw new DrillRefusedError(`no drill "${name}", allowed: ${DRILLS.map((one) => one.name).join(', ')}`);
}
