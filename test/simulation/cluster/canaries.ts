import { NodeLease } from '../../../broker-runtime/src/broker/node-lease.ts';
import type { ObjectStore } from '../../../broker-runtime/src/ports/object-store.ts';
import type { Reservation } from '../../../broker-runtime/src/ports/reservation.ts';
import { takeVolume } from '../../../broker-runtime/src/wal/fence.ts';
import type { SimClock } from '../world/sim-clock.ts';
import type { SimHostReservation } from '../world/sim-reservation.ts';
import type { Sabotage } from './cluster-world.ts';
import type { FaultKind } from './fault-plan.ts';
import { drawPlan, type SeedPlan } from './run-seed.ts';

/**
 * Broken variants of the protocol (3.1). Each is made from outside, by wrapping what a process stands on or by
 * patching one method for the time of a run; the broker has no switch for any of them. The simulation is worth what
 * it finds of them.
 */
export interface Canary {
  /** Of protocol 3.1. */
  readonly row: string;
  readonly what: string;
  /** One of these invariants must be reported broken. */
  readonly caughtBy: RegExp;
  /** Where the search begins; default 1. */
  readonly firstSeed?: number;
  readonly plan: (seed: number) => SeedPlan;
  /** Makes it broken; returns the way back. */
  readonly sabotage: () => { readonly parts: Sabotage; readonly undo: () => void };
}

const LOG_PREFIX = 'meta/log/';
const DATA_PREFIX = 'data/';
const KEPT_ENTRIES = 5;
const OLD_OBJECTS_MS = 2_000;

/** Three neighbours that lose sight of each other, and a disk that holds writes for longer than a session. */
const fenced = (...kinds: FaultKind[]) =>
  plan({ kinds, sessionTimeoutMs: 1_500, troubleMs: 40_000, leastPaceMs: 4_000 });
const uploading = plan({ kinds: ['store-unsure', 'kill'], troubleMs: 20_000 });

export const CANARIES: readonly Canary[] = [
  {
    row: 'B1',
    what: 'the victim is preempted without abort, and the log read at once',
    caughtBy: /I30/,
    plan: fenced('stuck-writer'),
    sabotage: () => ({ parts: { reservation: plainPreempt }, undo: () => undefined }),
  },
  {
    row: 'B6',
    what: 'the log is read before its volume is fenced',
    caughtBy: /I30/,
    plan: fenced('partition', 'pause'),
    sabotage: () => ({ parts: { fence: fenceOfNothing }, undo: () => undefined }),
  },
  {
    row: 'M4',
    what: 'old entries of the metadata log are deleted by age, whatever the floor says',
    caughtBy: /grace period/,
    plan: uploading,
    sabotage: () => ({ parts: { store: deletingOldEntries }, undo: () => undefined }),
  },
  {
    row: 'G1',
    what: 'data objects are deleted by age',
    caughtBy: /I24|I23/,
    plan: uploading,
    sabotage: () => ({ parts: { store: deletingByAge }, undo: () => undefined }),
  },
  {
    row: 'G3',
    what: 'a writer deletes the object whose put was not answered',
    caughtBy: /I24|I23/,
    plan: uploading,
    sabotage: () => ({ parts: { store: deletingOnUnknown }, undo: () => undefined }),
  },
];

/** Noticed in some series of seeds and not in others: for who hunts with more seeds than a test has. */
export const RARE_CANARIES: readonly Canary[] = [
  {
    row: 'B4',
    what: 'plain preempt, and acknowledgements that ask no lease after the write',
    caughtBy: /I1:|I2:|I14:/,
    plan: fenced('stuck-writer'),
    sabotage: () => {
      const proof = Object.getOwnPropertyDescriptor(NodeLease.prototype, 'proof');
      NodeLease.prototype.proof = () => true;
      return {
        parts: { reservation: plainPreempt, trustsProofs: true },
        undo: () => {
          if (proof !== undefined) Object.defineProperty(NodeLease.prototype, 'proof', proof);
        },
      };
    },
  },
];

function plan(changes: Partial<SeedPlan>): (seed: number) => SeedPlan {
  return (seed) => ({
    ...drawPlan(seed),
    zones: ['zone-a', 'zone-a', 'zone-a'],
    wal: 'block-shared',
    topics: [{ name: 't', partitions: 4, producers: 4 }],
    groups: 0,
    churners: 0,
    producerPauseMs: 60,
    ...changes,
  });
}

function plainPreempt(reservation: SimHostReservation): Reservation {
  return {
    volume: reservation.volume,
    register: (key) => reservation.register(key),
    acquire: (key) => reservation.acquire(key),
    release: (key) => reservation.release(key),
    report: () => reservation.report(),
    preemptAndAbort: (key, victim) => reservation.preempt(key, victim),
    close: () => reservation.close(),
  };
}

/** Proves the fence of a volume that is nobody's. */
const fenceOfNothing: typeof takeVolume = (env, { volume }, key, options) => {
  const registrants: number[] = [];
  const nothing: Reservation = {
    volume,
    register: async () => void registrants.push(key),
    acquire: async () => undefined,
    release: async () => undefined,
    preemptAndAbort: async () => undefined,
    report: async () => ({ holder: registrants[0], registrants }),
    close: () => undefined,
  };
  return takeVolume(env, nothing, key, { ...options, drainMs: 0 });
};

function wrapped(store: ObjectStore, put: ObjectStore['put']): ObjectStore {
  return {
    put,
    get: (key, range, into) => store.get(key, range, into),
    head: (key) => store.head(key),
    list: (prefix, options) => store.list(prefix, options),
    delete: (keys) => store.delete(keys),
    close: () => store.close(),
  };
}

function forget(work: Promise<unknown>): void {
  work.catch(() => undefined);
}

function deletingOldEntries(store: ObjectStore): ObjectStore {
  return wrapped(store, async (key, body, condition) => {
    const answer = await store.put(key, body, condition);
    const sequence = key.startsWith(LOG_PREFIX) ? Number(key.slice(LOG_PREFIX.length)) : 0;
    if (sequence > KEPT_ENTRIES) {
      forget(store.delete([LOG_PREFIX + String(sequence - KEPT_ENTRIES).padStart(20, '0')]));
    }
    return answer;
  });
}

function deletingByAge(store: ObjectStore, clock: SimClock): ObjectStore {
  return wrapped(store, async (key, body, condition) => {
    const answer = await store.put(key, body, condition);
    if (key.startsWith(DATA_PREFIX)) clock.timer(OLD_OBJECTS_MS, () => forget(store.delete([key])));
    return answer;
  });
}

function deletingOnUnknown(store: ObjectStore): ObjectStore {
  return wrapped(store, async (key, body, condition) => {
    const answer = await store.put(key, body, condition);
    if (key.startsWith(DATA_PREFIX) && answer.outcome === 'unknown') forget(store.delete([key]));
    return answer;
  });
}
