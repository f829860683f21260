import { MillraceError } from '../broker-runtime/src/base/errors.ts';
import type { FaultInjector, Member } from './fault-injector.ts';
import type { Budget } from './report/budget.ts';
import type { WorkloadOptions } from './workload/options.ts';

/** A deliberate failure with a measured result. Data, and what to do to a cluster; it does not know which cluster. */
export interface Drill {
  readonly name: string;
  /** One paragraph for `drill list`: what is broken, what must hold, what is measured. */
  readonly explanation: string;
  readonly needs: Needs;
  readonly phases: Phases;
  /** What passes unless the user says otherwise. */
  readonly budget: Budget;
  /** How the load differs from the usual one. */
  readonly load?: Partial<Omit<WorkloadOptions, 'bootstrapServers' | 'topic'>>;
  /** Chooses whom it will hit. Nothing is broken yet. */
  readonly prepare: (members: readonly Member[]) => Target;
  readonly inject: (scene: Scene, target: Target) => Promise<void>;
  /** Also called when inject failed half-way. */
  readonly heal: (scene: Scene, target: Target) => Promise<void>;
}

export interface Needs {
  /** Serving brokers, at least. */
  readonly brokers: number;
  /** Zones with serving brokers, at least. @default 1 */
  readonly zones?: number;
  /** Another version of the broker. @default false */
  readonly otherVersion?: boolean;
}

export interface Phases {
  /** Load on the whole cluster, before. */
  readonly steadyMs: number;
  /** Load on the broken cluster. */
  readonly observeMs: number;
  /** Load on the healed cluster. */
  readonly recoverMs: number;
}

const PHASES_MAX_S = 24 * 3_600;

/** `10,600,30`: seconds of steady load, of observation and of recovery. @throws {DrillRefusedError} */
export function parsePhases(text: string): Phases {
  const seconds = text.split(',').map(Number);
  const [steady, observe, recover] = seconds;
  const isAllowed = /^\d+,\d+,\d+$/.test(text) && seconds.every((one) => one <= PHASES_MAX_S);
  if (!isAllowed || steady === undefined || observe === undefined || recover === undefined) {
    throw new DrillRefusedError(
      `got "${text}", allowed: three whole numbers of seconds up to ${PHASES_MAX_S}, such as 10,600,30`,
    );
  }
  return { steadyMs: steady * 1_000, observeMs: observe * 1_000, recoverMs: recover * 1_000 };
}

export interface Target {
  readonly nodeIds: readonly number[];
  readonly zones: readonly string[];
}

/** What a drill may use while it runs. */
export interface Scene {
  readonly cluster: FaultInjector;
  /** Does something to the cluster and writes it into the timeline. */
  act(what: string, action: () => Promise<void>): Promise<void>;
  note(what: string): void;
  /** Rejects when the drill is interrupted. */
  sleep(ms: number): Promise<void>;
}

/** The cluster, or the options, do not allow this drill. Nothing was touched. */
export class DrillRefusedError extends MillraceError {
  readonly code = 'DRILL_REFUSED';
}

/** Somebody stopped the drill. What it broke is healed. */
export class DrillInterruptedError extends MillraceError {
  readonly code = 'DRILL_INTERRUPTED';
}

/** The drill could not do what it is for. */
export class DrillFailedError extends MillraceError {
  readonly code = 'DRILL_FAILED';
}

/** Throws unless the cluster is whole enough to be broken on purpose. */
export function refuseUnlessMet(
  { name, needs }: Drill,
  members: readonly Member[],
  otherVersion: string | undefined,
): void {
  if (needs.otherVersion === true && otherVersion === undefined) {
    throw new DrillRefusedError(
      `${name} needs another version of the broker, got none; name a bundle that npm run build made of it: --bundle FILE`,
    );
  }
  const away = members.filter(({ isServing }) => !isServing).map(({ nodeId }) => nodeId);
  if (away.length > 0) {
    throw new DrillRefusedError(
      `${name} starts on a whole cluster, but ${away.join(', ')} do not serve; start them first`,
    );
  }
  const zones = new Set(members.map(({ zone }) => zone)).size;
  if (members.length < needs.brokers || zones < (needs.zones ?? 1)) {
    throw new DrillRefusedError(
      `${name} needs ${needs.brokers} brokers in ${needs.zones ?? 1} zones, got ${members.length} in ${zones}; ` +
        'start a bigger cluster',
    );
  }
}
