import type { FailoverTimes } from './report/measured.ts';

/** A broker as the drills see it. */
export interface Member {
  readonly nodeId: number;
  readonly zone: string;
  readonly isController: boolean;
  /** It runs, is reachable and serves. */
  readonly isServing: boolean;
}

/**
 * What a drill may do to a cluster. The cluster on this machine and a cluster on AWS each have their own; the drills
 * do not know which one they drive. A method resolves when the fault, or its end, has taken effect. What cannot be
 * done here rejects with a typed error that says so.
 */
export interface FaultInjector {
  /** For clients. */
  readonly bootstrapServers: string;
  /** What the report says about where it ran. */
  readonly environment: Readonly<Record<string, string>>;
  /** For people: the version a drill may put beside the one that is deployed. Undefined: none was given. */
  readonly otherVersion: string | undefined;
  members(): Promise<readonly Member[]>;

  /** Ends the process at once: nothing is flushed, nobody is told. */
  kill(nodeId: number): Promise<void>;
  /** A clean stop: what is in memory and in the log is uploaded first. */
  stop(nodeId: number): Promise<void>;
  /** After {@link kill}, {@link stop} or a spot interruption. Resolves when the broker serves. */
  start(nodeId: number): Promise<void>;
  /** What the next start of a broker runs: the version that is deployed, or {@link otherVersion}. */
  useVersion(nodeId: number, version: 'own' | 'other'): Promise<void>;
  /** The process stands still, its connections stay open. */
  pause(nodeId: number): Promise<void>;
  resume(nodeId: number): Promise<void>;
  /** Runs on, but reaches no broker, no client and no object store; its volume stays attached. */
  cutOff(nodeId: number): Promise<void>;
  restore(nodeId: number): Promise<void>;

  /** Everything in the zone at once: brokers and volumes. */
  loseZone(zone: string): Promise<void>;
  restoreZone(zone: string): Promise<void>;

  /** Two minutes' notice where the cloud gives it; resolves when the instance is gone. */
  interruptWithNotice(nodeId: number): Promise<void>;
  /** The instance is gone before anybody hears of it. */
  interruptWithoutNotice(nodeId: number): Promise<void>;

  objectStoreOutage(): Promise<void>;
  /** Every request takes this much longer. */
  objectStoreSlow(delayMs: number): Promise<void>;
  objectStoreNormal(): Promise<void>;

  /** How full the fullest write-ahead log is, 0 to 1. */
  walFillShare(): Promise<number>;
  /** The slowest failover since the drill began, as the cluster timed it. Undefined: none, or not known. */
  failoverTimes(): Promise<FailoverTimes | undefined>;
  /** Ends every fault that is still in effect and starts what does not run. Does nothing when all is well. */
  healAll(): Promise<void>;
}
