import { messageOf } from '../broker-runtime/src/base/errors.ts';
import { checkHistory, type Verdict } from './checker/check.ts';
import type { Window } from './checker/stalls.ts';
import {
  type Drill,
  DrillInterruptedError,
  type Phases,
  refuseUnlessMet,
  type Scene,
  type Target,
} from './drill.ts';
import type { FaultInjector } from './fault-injector.ts';
import { type HistorySink, HistoryWriter, readHistory } from './history/file.ts';
import type { Budget } from './report/budget.ts';
import { NO_FAILOVER } from './report/measured.ts';
import { type DrillReport, makeReport, type TimelineEntry } from './report/report.ts';
import { Timeline } from './timeline.ts';
import type { WorkloadOptions } from './workload/options.ts';
import type { WorkloadResult } from './workload/workload.ts';

export interface DrillRun {
  readonly cluster: FaultInjector;
  /** Where the history goes; it stays there, as the evidence. */
  readonly historyPath: string;
  /** Limits that replace those of the drill. */
  readonly budget?: Budget;
  readonly phases?: Partial<Phases>;
  readonly load?: Drill['load'];
  /** Ends the drill early: what it broke is healed, and the report says so. */
  readonly signal?: AbortSignal;
  readonly heard?: (entry: TimelineEntry) => void;
  readonly startWorkload: (
    options: WorkloadOptions,
    sink: HistorySink,
    now: () => number,
  ) => Promise<RunningWorkload>;
  readonly clock: DrillClock;
}

export interface RunningWorkload {
  readonly acknowledged: number;
  stop(): Promise<WorkloadResult>;
}

export interface DrillClock {
  /** Monotonic milliseconds. */
  now(): number;
  wall(): Date;
  /** Rejects when the signal says so. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/**
 * Load, steady, inject, observe, heal, recover, drain, check, report. Whatever goes wrong on the way, the cluster is
 * healed and the load is drained; the report then says what went wrong and does not pass.
 */
export async function runDrill(drill: Drill, run: DrillRun): Promise<DrillReport> {
  const members = await run.cluster.members();
  refuseUnlessMet(drill, members, run.cluster.otherVersion);
  const target = drill.prepare(members);

  const startedAt = run.clock.wall();
  const startedMs = run.clock.now();
  const now = () => run.clock.now() - startedMs;
  const timeline = new Timeline(now, run.heard ?? (() => undefined));
  const writer = new HistoryWriter(run.historyPath);
  const options: WorkloadOptions = {
    ...drill.load,
    ...run.load,
    bootstrapServers: run.cluster.bootstrapServers,
    topic: `drill-${drill.name}-${startedAt.getTime()}`,
  };
  let result: WorkloadResult | undefined;
  let failure: string | null = null;
  let fault: Window | undefined;
  try {
    timeline.add('phase', 'start');
    const workload = await run.startWorkload(options, writer, now);
    const course = new Course(drill, target, run, timeline, now);
    failure = await course.run();
    fault = course.fault;
    timeline.add('phase', 'drain');
    result = await workload.stop();
    timeline.add('note', `${result.acknowledged} acknowledged${result.isDrained ? ', all read again' : ''}`);
  } catch (error) {
    failure ??= messageOf(error);
    timeline.add('failure', messageOf(error));
  }
  await writer.close().catch((error: unknown) => (failure ??= messageOf(error)));
  const verdict = await checkHistory(readHistory(writer.path));
  const failover = await run.cluster.failoverTimes().catch(() => undefined);
  return makeReport(
    {
      drill: drill.name,
      explanation: drill.explanation,
      startedAt: startedAt.toISOString(),
      durationMs: now(),
      ...measuredBy(verdict, fault),
      ...(failover ?? NO_FAILOVER),
      timeline: timeline.entries,
      errors: result?.errors ?? [],
      failure,
      environment: { ...run.cluster.environment, brokers: String(members.length), history: writer.path },
    },
    { ...drill.budget, ...run.budget },
  );
}

function measuredBy(verdict: Verdict, fault: Window | undefined) {
  const {
    acknowledged,
    read,
    unknown,
    lost,
    duplicated,
    reordered,
    sendErrors,
    counts,
    evidence,
    throughput,
  } = verdict;
  const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
  return {
    acknowledged,
    read,
    unknown,
    lost,
    duplicated,
    reordered,
    otherAnomalies: all - lost - duplicated - reordered,
    sendErrors,
    stallMs: (fault === undefined ? undefined : verdict.stalls.summary('send', fault)) ?? null,
    anomalies: counts,
    evidence,
    throughput,
  };
}

/** From steady load through the fault back to steady load. */
class Course {
  readonly #drill: Drill;
  readonly #target: Target;
  readonly #run: DrillRun;
  readonly #timeline: Timeline;
  readonly #now: () => number;
  /** From the fault to the end of healing; undefined: it did not come to that. */
  fault: Window | undefined;

  constructor(drill: Drill, target: Target, run: DrillRun, timeline: Timeline, now: () => number) {
    this.#drill = drill;
    this.#target = target;
    this.#run = run;
    this.#timeline = timeline;
    this.#now = now;
  }

  /** @returns why it did not come to its end, or null */
  async run(): Promise<string | null> {
    const { steadyMs, observeMs, recoverMs } = { ...this.#drill.phases, ...this.#run.phases };
    let failure: string | null = null;
    try {
      await this.#phase('steady', () => this.#sleep(steadyMs));
      this.fault = { fromMs: this.#now(), toMs: Infinity };
      await this.#phase('inject', () => this.#drill.inject(this.#scene(true), this.#target));
      await this.#phase('observe', () => this.#sleep(observeMs));
    } catch (error) {
      failure = this.#failed(error);
    }
    failure = (await this.#heal()) ?? failure;
    if (this.fault !== undefined) this.fault = { ...this.fault, toMs: this.#now() };
    try {
      await this.#phase('recover', () => this.#sleep(recoverMs));
    } catch (error) {
      failure ??= this.#failed(error);
    }
    return failure;
  }

  /** Also after a failure and after an interruption: a drill leaves no broken cluster behind. */
  async #heal(): Promise<string | null> {
    let failure: string | null = null;
    try {
      await this.#phase('heal', () => this.#drill.heal(this.#scene(false), this.#target));
    } catch (error) {
      failure = this.#failed(error);
    }
    try {
      await this.#run.cluster.healAll();
    } catch (error) {
      failure ??= this.#failed(error);
    }
    return failure;
  }

  async #phase(name: string, work: () => Promise<void>): Promise<void> {
    this.#timeline.add('phase', name);
    await work();
  }

  #failed(error: unknown): string {
    this.#timeline.add('failure', messageOf(error));
    return messageOf(error);
  }

  #scene(isInterruptible: boolean): Scene {
    return {
      cluster: this.#run.cluster,
      act: async (what, action) => {
        this.#timeline.add('action', what);
        await action();
      },
      note: (what) => this.#timeline.add('note', what),
      sleep: (ms) => (isInterruptible ? this.#sleep(ms) : this.#run.clock.sleep(ms)),
    };
  }

  async #sleep(ms: number): Promise<void> {
    try {
      await this.#run.clock.sleep(ms, this.#run.signal);
    } catch (error) {
      if (this.#run.signal?.aborted !== true) throw error;
      throw new DrillInterruptedError('the drill was interrupted', { cause: error });
    }
  }
}
