import { type Drill, DrillFailedError } from '../drill.ts';
import { NOTHING_WRONG } from '../report/budget.ts';
import { controllersZone, named, nobody, oneBroker } from './targets.ts';

const PHASES = { steadyMs: 10_000, observeMs: 30_000, recoverMs: 15_000 };

export const loseZone: Drill = {
  name: 'lose-zone',
  explanation:
    'Everything in the zone of the controller is gone at once, brokers and volumes. Partitions with a log that ' +
    'outlives a zone go on elsewhere; those on a shared volume of that zone wait until it comes back.',
  needs: { brokers: 2, zones: 2 },
  phases: { ...PHASES, observeMs: 60_000 },
  budget: { ...NOTHING_WRONG, stallMaxMs: 120_000 },
  prepare: controllersZone,
  inject: (scene, target) =>
    scene.act(`lose zone ${target.zones.join(', ')} (${named(target)})`, async () => {
      for (const zone of target.zones) await scene.cluster.loseZone(zone);
    }),
  heal: (scene, { zones }) =>
    scene.act(`restore zone ${zones.join(', ')}`, async () => {
      for (const zone of zones) await scene.cluster.restoreZone(zone);
    }),
};

export const objectStoreOutage: Drill = {
  name: 'object-store-outage',
  explanation:
    'The object store answers nothing for half a minute. Writes go on into the write-ahead logs; uploads wait and ' +
    'catch up afterwards. No broker may give up, and none may take memory without end.',
  needs: { brokers: 1 },
  phases: PHASES,
  budget: { ...NOTHING_WRONG, stallMaxMs: 40_000 },
  prepare: nobody,
  inject: (scene) => scene.act('object store stops answering', () => scene.cluster.objectStoreOutage()),
  heal: (scene) => scene.act('object store answers again', () => scene.cluster.objectStoreNormal()),
};

const SLOW_MS = 2_000;

export const objectStoreSlow: Drill = {
  name: 'object-store-slow',
  explanation:
    `Every request to the object store takes ${SLOW_MS} ms longer. Nothing is down, so nothing may be fenced: leases ` +
    'are renewed, uploads fall behind and catch up, writes keep their pace.',
  needs: { brokers: 1 },
  phases: PHASES,
  budget: { ...NOTHING_WRONG, stallMaxMs: 20_000 },
  prepare: nobody,
  inject: (scene) =>
    scene.act(`object store takes ${SLOW_MS} ms longer`, () => scene.cluster.objectStoreSlow(SLOW_MS)),
  heal: (scene) => scene.act('object store is as fast as before', () => scene.cluster.objectStoreNormal()),
};

const FULL_SHARE = 0.9;
const FULL_LOOKS_MAX = 600;
const LOOK_AGAIN_MS = 1_000;

export const fullWal: Drill = {
  name: 'full-wal',
  explanation:
    'The object store stops until the write-ahead logs are full under a heavy load. Then producers have to wait: no ' +
    'write may be refused for good, none acknowledged may be lost, and everything flows again once uploads do. ' +
    'A small log makes it quick.',
  needs: { brokers: 1 },
  phases: PHASES,
  load: { recordsPerSecond: 4_000, batchRecords: 50, valueBytes: 4_000 },
  budget: { ...NOTHING_WRONG, stallMaxMs: 120_000 },
  prepare: nobody,
  inject: async (scene) => {
    await scene.act('object store stops answering', () => scene.cluster.objectStoreOutage());
    for (let look = 0; look < FULL_LOOKS_MAX; look += 1) {
      const share = await scene.cluster.walFillShare();
      if (share >= FULL_SHARE) {
        scene.note(`the fullest log is ${Math.round(share * 100)} % full`);
        return;
      }
      await scene.sleep(LOOK_AGAIN_MS);
    }
    throw new DrillFailedError(
      `no log was ${FULL_SHARE * 100} % full after ${FULL_LOOKS_MAX} s; use smaller logs or a heavier load`,
    );
  },
  heal: (scene) => scene.act('object store answers again', () => scene.cluster.objectStoreNormal()),
};

export const spotNotice: Drill = {
  name: 'spot-notice',
  explanation:
    'One instance gets a spot interruption notice and is taken when its time is over. It should hand its partitions ' +
    'over before that, so that clients see the moves and no failure.',
  needs: { brokers: 2 },
  phases: { ...PHASES, observeMs: 10_000 },
  budget: { ...NOTHING_WRONG, stallMaxMs: 5_000 },
  prepare: oneBroker,
  inject: (scene, target) =>
    scene.act(`spot interruption notice for ${named(target)}`, async () => {
      for (const nodeId of target.nodeIds) await scene.cluster.interruptWithNotice(nodeId);
    }),
  heal: (scene, target) =>
    scene.act(`start ${named(target)}`, async () => {
      for (const nodeId of target.nodeIds) await scene.cluster.start(nodeId);
    }),
};

export const spotNoNotice: Drill = {
  name: 'spot-no-notice',
  explanation:
    'One instance is taken without any notice, which spot allows. It is a broker that dies together with its ' +
    'instance: its log has to be taken over by a neighbour, and a new instance claims the slot.',
  needs: { brokers: 2 },
  phases: PHASES,
  budget: { ...NOTHING_WRONG, stallMaxMs: 20_000 },
  prepare: oneBroker,
  inject: (scene, target) =>
    scene.act(`take the instance of ${named(target)}`, async () => {
      for (const nodeId of target.nodeIds) await scene.cluster.interruptWithoutNotice(nodeId);
    }),
  heal: spotNotice.heal,
};
