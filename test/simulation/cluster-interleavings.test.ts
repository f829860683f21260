import { describe, expect, test } from '@jest/globals';
import type { Network } from '../../broker-runtime/src/ports/network.ts';
import type { ObjectStore } from '../../broker-runtime/src/ports/object-store.ts';
import { ClusterWorld, type Sabotage, type SimMachine } from './cluster/cluster-world.ts';
import { drawPlan } from './cluster/run-seed.ts';
import { Workload } from './cluster/workload.ts';

const LIMIT_MS = 240_000;
const HEAD_START_MS = 3_000;
const WARM_UP_MS = 5_000;
/** Long enough for a neighbour to take the log over, shorter than clients wait for an answer. */
const PAUSE_MS = 10_000;
/** For an answer that comes byte by byte. */
const ARRIVAL_MS = 500;
const CUT_MS = 3_000;
const TOPIC = { name: 't', partitions: 6 };
const PRODUCERS = 3;
const PRODUCER = `${TOPIC.name}.p0`;

/** Three neighbours with volumes, and clients that are served. */
class Scene {
  readonly world: ClusterWorld;
  readonly workload: Workload;

  constructor(seed: number, sabotage: Sabotage) {
    const zones = ['zone-a', 'zone-a', 'zone-a'];
    const plan = { ...drawPlan(seed), zones, wal: 'block-shared', sessionTimeoutMs: 1_500 } as const;
    this.world = new ClusterWorld(seed, { ...plan, sabotage });
    this.workload = new Workload(this.world);
  }

  /** The first one becomes the controller. */
  async begin(first = 'node-3'): Promise<void> {
    const { world, workload } = this;
    world.start(this.machineOf(first));
    await world.clock.advance(HEAD_START_MS);
    for (const machine of world.machines) world.start(machine);
    await world.clock.run(workload.addTopic(TOPIC, PRODUCERS, 60), LIMIT_MS);
    await world.clock.advance(WARM_UP_MS);
  }

  /** What the world saw, once every partition took a record and everything was read back. */
  async end(): Promise<readonly string[]> {
    const { world, workload } = this;
    const ended = async (): Promise<void> => {
      await workload.finish();
      await workload.drain();
    };
    await world.clock.run(ended(), LIMIT_MS);
    world.end();
    await world.clock.settle();
    return world.violations;
  }

  happened(event: string): number {
    return this.world.events.counts.get(event) ?? 0;
  }

  machineOf(host: string | undefined): SimMachine {
    const machine = this.world.machines.find((other) => other.host === host);
    if (machine === undefined) throw new Error(`no machine is called ${host ?? 'so'}`);
    return machine;
  }
}

/** Calls `before` when a broker is about to write an answer into the socket of a client. */
function answering(network: Network, before: (client: string) => void): Network {
  return {
    connect: (...asked) => network.connect(...asked),
    listen: (address, accept) =>
      network.listen(address, (connection) => {
        const send = connection.send.bind(connection);
        connection.send = (pieces, sent) => {
          before(connection.remote.host);
          send(pieces, sent);
        };
        return accept(connection);
      }),
  };
}

function isAsking(scene: Scene, host = ''): boolean {
  const what = `calling ${host} for ProduceRequest`;
  return scene.workload.describe().some((line) => line.startsWith(`${PRODUCER}:`) && line.includes(what));
}

describe('T2: a broker stands still between the look at its lease and the answer to the producer', () => {
  test.each([1, 2, 3])(
    'what it acknowledges after its log was taken over stands where it says (seed %i)',
    async (seed) => {
      let isArmed = false;
      let stopped: string | undefined;
      const scene: Scene = new Scene(seed, {
        network: (network, host) =>
          answering(network, (client) => {
            if (!isArmed || client !== `client-${PRODUCER}` || !isAsking(scene, host)) return;
            isArmed = false;
            stopped = host;
            scene.world.pause(scene.machineOf(host));
          }),
      });
      await scene.begin();
      isArmed = true;
      await scene.world.clock.advance(PAUSE_MS);
      expect(stopped).toBeDefined();
      expect(scene.happened('takeover.finished')).toBeGreaterThan(0);
      // It has waited for this answer all the time.
      expect(isAsking(scene, stopped)).toBe(true);
      const acknowledgedBefore = scene.workload.history.acknowledgedOf(PRODUCER);
      // It writes into the socket, and does not get to hear what happened meanwhile before that has arrived.
      const machine = scene.machineOf(stopped);
      scene.world.resume(machine);
      scene.world.pause(machine);
      await scene.world.clock.advance(ARRIVAL_MS);
      expect(scene.workload.history.acknowledgedOf(PRODUCER)).toBeGreaterThan(acknowledgedBefore);
      scene.world.resume(machine);
      expect(await scene.end()).toEqual([]);
    },
    120_000,
  );
});

/** What becomes of the answer when the entry that ends a recovery is in the log, and nobody was told of it yet. */
interface Loss {
  readonly what: string;
  /** Whether the controller hears of the bucket that the entry is there. */
  readonly isTold: boolean;
  readonly lose: (world: ClusterWorld, recoverer: SimMachine, controller: SimMachine) => void;
}

const LOSSES: readonly Loss[] = [
  { what: 'between the bucket and the controller', isTold: false, lose: () => undefined },
  {
    what: 'between the controller and the recoverer',
    isTold: true,
    lose: ({ network, clock }, recoverer, controller) => {
      network.partition(recoverer.host, controller.host);
      network.reset(recoverer.host);
      clock.timer(CUT_MS, () => network.heal(recoverer.host, controller.host));
    },
  },
  {
    what: 'because the controller dies',
    isTold: true,
    lose: (world, _recoverer, controller) => world.kill(controller),
  },
  {
    what: 'because the recoverer dies',
    isTold: true,
    lose: (world, recoverer) => world.kill(recoverer),
  },
];

/** The answer to a put to each of these keys gets lost, once. */
function losing(lost: Set<string>): Sabotage {
  return {
    store: (store): ObjectStore => ({
      put: async (key, body, condition) => {
        const answer = await store.put(key, body, condition);
        return lost.delete(key) ? { outcome: 'unknown', cause: new Error('the answer was lost') } : answer;
      },
      get: (key, range, into) => store.get(key, range, into),
      head: (key) => store.head(key),
      list: (prefix, options) => store.list(prefix, options),
      delete: (keys) => store.delete(keys),
      close: () => store.close(),
    }),
  };
}

describe('T10: the answer to "recovery finished" is lost', () => {
  test.each(LOSSES)(
    '$what: the recovery is over once, and everything of the dead node is served',
    async ({ isTold, lose }) => {
      const unanswered = new Set<string>();
      const scene = new Scene(1, losing(unanswered));
      const { world } = scene;
      await scene.begin('node-3');
      expect(world.controllerHost()).toBe('node-3');
      let recorded = 0;
      const { onPut } = world.bucket;
      world.bucket.onPut = (key, body, isNew) => {
        const before = world.observer.metadata.brokers.get(2)?.recovery;
        onPut(key, body, isNew);
        if (before === undefined || world.observer.metadata.brokers.get(2)?.state !== 'clean') return;
        recorded++;
        if (!isTold) unanswered.add(key);
        lose(world, scene.machineOf(`node-${before.recovererId}`), scene.machineOf('node-3'));
      };
      const dead = scene.machineOf('node-2');
      dead.isWanted = false;
      world.kill(dead);
      await world.clock.advance(PAUSE_MS);
      expect(recorded).toBe(1);
      expect(world.observer.metadata.brokers.get(2)?.state).toBe('clean');
      world.start(dead);
      expect(await scene.end()).toEqual([]);
    },
    120_000,
  );
});
