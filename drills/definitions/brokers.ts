import type { Drill, Scene, Target } from '../drill.ts';
import type { FaultInjector } from '../fault-injector.ts';
import { NOTHING_WRONG } from '../report/budget.ts';
import { allButOne, everyBroker, named, oneBroker, theController } from './targets.ts';

const PHASES = { steadyMs: 10_000, observeMs: 30_000, recoverMs: 15_000 };

type Verb = 'kill' | 'start' | 'pause' | 'resume' | 'cutOff' | 'restore';

/** All of the target at the same moment. */
function together(verb: Verb, what: string): (scene: Scene, target: Target) => Promise<void> {
  const each = (cluster: FaultInjector, nodeId: number) => cluster[verb](nodeId);
  return (scene, target) =>
    scene.act(`${what} ${named(target)}`, async () => {
      await Promise.all(target.nodeIds.map((nodeId) => each(scene.cluster, nodeId)));
    });
}

export const killBroker: Drill = {
  name: 'kill-broker',
  explanation:
    'Ends one broker with SIGKILL under load and starts it again later. A neighbour has to fence its log, replay it ' +
    'and hand its partitions to the living. Measures every step of that, and how long clients waited.',
  needs: { brokers: 2 },
  phases: PHASES,
  budget: { ...NOTHING_WRONG, stallMaxMs: 20_000 },
  prepare: oneBroker,
  inject: together('kill', 'kill'),
  heal: together('start', 'start'),
};

export const pauseBroker: Drill = {
  name: 'pause-broker',
  explanation:
    'Stops one broker with SIGSTOP, long enough that it is taken for dead and fenced, and lets it run on. The zombie ' +
    'wakes up with writes under way: none of them may be acknowledged, none may touch the log that was taken over.',
  needs: { brokers: 2 },
  phases: PHASES,
  // A kafkajs producer was seen to wait for the paused broker itself until it ran on (33 s), while others went on.
  budget: { ...NOTHING_WRONG, stallMaxMs: 45_000 },
  prepare: oneBroker,
  inject: together('pause', 'pause'),
  heal: together('resume', 'resume'),
};

export const cutOffBroker: Drill = {
  name: 'cut-off-broker',
  explanation:
    'Takes the network from one broker while its volume stays attached: it can write and nobody can tell it to stop. ' +
    'The fence on the volume has to; what it acknowledged before must be there, and nothing after.',
  needs: { brokers: 2 },
  phases: PHASES,
  budget: { ...NOTHING_WRONG, stallMaxMs: 25_000 },
  prepare: oneBroker,
  inject: together('cutOff', 'cut off'),
  heal: together('restore', 'restore the network of'),
};

export const cutOffController: Drill = {
  name: 'cut-off-controller',
  explanation:
    'Takes the network from the broker that is the controller, while it still reaches the object store: it can keep its ' +
    'lease, and to it every other broker looks dead. It has to let another one lead, which declares it dead and nobody else.',
  needs: { brokers: 3 },
  phases: PHASES,
  budget: { ...NOTHING_WRONG, stallMaxMs: 40_000 },
  prepare: theController,
  inject: together('cutOff', 'cut off the controller,'),
  heal: together('restore', 'restore the network of'),
};

export const loseController: Drill = {
  name: 'lose-controller',
  explanation:
    'Kills the broker that is the controller. Another one has to be elected, and only then can anybody notice that ' +
    'the dead one also led partitions. Partitions of the others must go on meanwhile.',
  needs: { brokers: 2 },
  phases: PHASES,
  budget: { ...NOTHING_WRONG, stallMaxMs: 40_000 },
  prepare: theController,
  inject: together('kill', 'kill the controller,'),
  heal: together('start', 'start'),
};

export const loseAllButOne: Drill = {
  name: 'lose-all-but-one',
  explanation:
    'Kills all brokers but one at the same moment, the controller among them. The one that is left becomes the ' +
    'controller, takes over every log it can reach and serves their partitions. On shared volumes it reaches those of its ' +
    'zone, and the others wait until a broker of theirs is back; logs in the bucket it reaches all.',
  needs: { brokers: 3 },
  phases: { ...PHASES, observeMs: 60_000 },
  // The phase itself, and the start of the others.
  budget: { ...NOTHING_WRONG, stallMaxMs: 120_000 },
  prepare: allButOne,
  inject: together('kill', 'kill'),
  heal: together('start', 'start'),
};

export const rollingRestart: Drill = {
  name: 'rolling-restart',
  explanation:
    'Stops and starts every broker, one after the other, the controller last, as an upgrade does. Each hands its ' +
    'partitions over before it goes, so clients should hardly notice.',
  needs: { brokers: 2 },
  phases: { ...PHASES, observeMs: 5_000 },
  budget: { ...NOTHING_WRONG, stallMaxMs: 5_000 },
  prepare: everyBroker,
  inject: (scene, { nodeIds }) => restartInTurn(scene, nodeIds),
  heal: async () => undefined,
};

export const upgradeAndBack: Drill = {
  name: 'upgrade-and-back',
  explanation:
    'Restarts every broker, one after the other, with another version of its bundle, and later with the first one again. ' +
    'On the way both versions read what the other has written: log, objects, metadata, messages between brokers. ' +
    'A version that cannot go back, or does not bear the other beside it, is found here and not on the day.',
  needs: { brokers: 2, otherVersion: true },
  phases: { ...PHASES, observeMs: 10_000 },
  budget: { ...NOTHING_WRONG, stallMaxMs: 5_000 },
  prepare: everyBroker,
  inject: (scene, { nodeIds }) => {
    scene.note(`the other version is ${scene.cluster.otherVersion ?? '?'}`);
    return restartInTurn(scene, nodeIds, 'other');
  },
  heal: (scene, { nodeIds }) => restartInTurn(scene, nodeIds, 'own'),
};

/** Between two brokers: partitions come back to the one that has just started. */
const SETTLE_MS = 3_000;

async function restartInTurn(
  scene: Scene,
  nodeIds: readonly number[],
  version?: 'own' | 'other',
): Promise<void> {
  for (const nodeId of nodeIds) {
    await scene.act(`stop broker ${nodeId}`, () => scene.cluster.stop(nodeId));
    if (version !== undefined) await scene.cluster.useVersion(nodeId, version);
    const as = version === undefined ? '' : ` as the ${version === 'own' ? 'deployed' : 'other'} version`;
    await scene.act(`start broker ${nodeId}${as}`, () => scene.cluster.start(nodeId));
    await scene.sleep(SETTLE_MS);
  }
}
