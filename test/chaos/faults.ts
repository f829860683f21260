import type { SupervisedBroker } from '../../twin/supervised-broker.ts';
import type { Lan, Peer } from './lan.ts';
import type { Misbehaviour, S3Proxy } from './s3-proxy.ts';

/** What can be broken. */
export interface ChaosScene {
  readonly lan: Lan;
  readonly store: S3Proxy;
  readonly brokers: readonly SupervisedBroker[];
}

/** Draws from the seed of the run. */
export interface Draw {
  /** A whole number from 0 up to, not including, `limit`. */
  below(limit: number): number;
  pick<T>(choices: readonly T[]): T;
}

/** A fault under way. */
export interface Fault {
  readonly what: string;
  /** Takes effect; it lasts until {@link Fault.end}. */
  begin(): Promise<void>;
  end(): Promise<void>;
}

type Kind = (scene: ChaosScene, draw: Draw) => Fault;

const nothing = async (): Promise<void> => undefined;

const kill: Kind = ({ brokers }, draw) => {
  const victim = draw.pick(brokers);
  return {
    what: `kill -9 of broker ${victim.nodeId}`,
    begin: () => victim.kill(),
    end: () => victim.start(),
  };
};

/** The supervisor starts it again at once: the next life meets its own log, not a neighbour's. */
const crash: Kind = ({ brokers }, draw) => {
  const victim = draw.pick(brokers);
  return {
    what: `crash of broker ${victim.nodeId}, started again at once`,
    begin: async () => {
      if (victim.pid !== undefined) process.kill(victim.pid, 'SIGKILL');
    },
    end: nothing,
  };
};

const pause: Kind = ({ brokers }, draw) => {
  const victim = draw.pick(brokers);
  return {
    what: `SIGSTOP of broker ${victim.nodeId}`,
    begin: async () => victim.pause(),
    end: async () => victim.resume(),
  };
};

const cutOff =
  (
    what: string,
    peersOf: (scene: ChaosScene, victim: number) => readonly Peer[],
    isBothWays: boolean,
  ): Kind =>
  (scene, draw) => {
    const { lan, brokers } = scene;
    const victim = draw.pick(brokers).nodeId;
    return {
      what: `broker ${victim} ${what}`,
      begin: async () => {
        for (const peer of peersOf(scene, victim)) {
          await lan.cut(victim, peer);
          if (isBothWays && typeof peer === 'number') await lan.cut(peer, victim);
        }
      },
      end: () => lan.mend(),
    };
  };

const others = ({ brokers }: ChaosScene, victim: number): readonly number[] =>
  brokers.map(({ nodeId }) => nodeId).filter((nodeId) => nodeId !== victim);

const store =
  (what: string, mode: Misbehaviour): Kind =>
  (scene) => ({
    what: `object store ${what}`,
    begin: async () => scene.store.misbehave(mode),
    end: async () => scene.store.misbehave(undefined),
  });

const STORE_KINDS: readonly Kind[] = [
  store('answers 503 to seven of ten', { kind: 'unavailable', share: 0.7 }),
  store('is silent', { kind: 'silent', share: 1 }),
  store('loses three of ten answers', { kind: 'answer-lost', share: 0.3 }),
  store('breaks three of ten requests', { kind: 'reset', share: 0.3 }),
  store('takes half a second longer', { kind: 'slow', share: 1, delayMs: 500 }),
];

const NETWORK_KINDS: readonly Kind[] = [
  cutOff('sees no other broker', others, true),
  cutOff('is heard by no other broker', others, false),
  cutOff('cannot reach the object store', () => ['store'], false),
  cutOff('answers no client', () => ['clients'], false),
  cutOff('is cut off', (scene, victim) => [...others(scene, victim), 'clients', 'store'], true),
];

const PROCESS_KINDS: readonly Kind[] = [kill, crash, pause];

const FAMILIES = [PROCESS_KINDS, NETWORK_KINDS, STORE_KINDS];
/** One quarter of the time nothing is wrong: what was broken must also recover. */
const CALM_OF_FOUR = 1;

/** What is wrong in the next period: nothing, one fault, or faults of two families at the same time. */
export function drawFaults(scene: ChaosScene, draw: Draw): readonly Fault[] {
  if (draw.below(4) < CALM_OF_FOUR) return [];
  const first = draw.below(FAMILIES.length);
  const families = [first];
  if (draw.below(3) === 0) families.push((first + 1 + draw.below(FAMILIES.length - 1)) % FAMILIES.length);
  return families.map((family) => draw.pick(FAMILIES[family] ?? PROCESS_KINDS)(scene, draw));
}
