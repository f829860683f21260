import type { FaultInjector, Member } from '../../drills/fault-injector.ts';
import type { HistorySink } from '../../drills/history/file.ts';
import { headOf } from '../../drills/history/value.ts';
import type { DrillClock, RunningWorkload } from '../../drills/run-drill.ts';
import type { WorkloadOptions } from '../../drills/workload/options.ts';

/** A cluster that does nothing but remember what was done to it. */
export class FakeCluster implements FaultInjector {
  readonly bootstrapServers = 'broker-1:9092';
  readonly environment = { cluster: 'fake' };
  otherVersion: string | undefined = 'next';
  readonly calls: string[] = [];
  /** Calls that shall fail. */
  readonly broken = new Set<string>();
  all: Member[] = ['a', 'b', 'c'].map((zone, n) => ({
    nodeId: n + 1,
    zone,
    isController: n === 0,
    isServing: true,
  }));
  walShare = 0;

  members = async () => this.all;
  kill = (nodeId: number) => this.#call(`kill ${nodeId}`);
  stop = (nodeId: number) => this.#call(`stop ${nodeId}`);
  start = (nodeId: number) => this.#call(`start ${nodeId}`);
  useVersion = (nodeId: number, version: string) => this.#call(`useVersion ${nodeId} ${version}`);
  pause = (nodeId: number) => this.#call(`pause ${nodeId}`);
  resume = (nodeId: number) => this.#call(`resume ${nodeId}`);
  cutOff = (nodeId: number) => this.#call(`cutOff ${nodeId}`);
  restore = (nodeId: number) => this.#call(`restore ${nodeId}`);
  loseZone = (zone: string) => this.#call(`loseZone ${zone}`);
  restoreZone = (zone: string) => this.#call(`restoreZone ${zone}`);
  interruptWithNotice = (nodeId: number) => this.#call(`interruptWithNotice ${nodeId}`);
  interruptWithoutNotice = (nodeId: number) => this.#call(`interruptWithoutNotice ${nodeId}`);
  objectStoreOutage = () => this.#call('objectStoreOutage');
  objectStoreSlow = (delayMs: number) => this.#call(`objectStoreSlow ${delayMs}`);
  objectStoreNormal = () => this.#call('objectStoreNormal');
  healAll = () => this.#call('healAll');

  async walFillShare(): Promise<number> {
    this.walShare += 0.3;
    return this.walShare;
  }

  async failoverTimes() {
    return { detectMs: 900, fenceMs: 10, replayMs: 20, commitMs: 30, reopenMs: 40 };
  }

  async #call(what: string): Promise<void> {
    this.calls.push(what);
    if (this.broken.has(what)) throw new Error(`${what} is broken`);
  }
}

/** Sleeps at once. */
export class FakeClock implements DrillClock {
  nowMs = 1_000;
  now = () => this.nowMs;
  wall = () => new Date('2026-01-02T03:04:05Z');

  sleep = async (ms: number, signal?: AbortSignal): Promise<void> => {
    signal?.throwIfAborted();
    this.nowMs += ms;
  };
}

/** One producer and one reader of a cluster that is well; `lose` leaves the last record unread. */
export class FakeWorkload implements RunningWorkload {
  readonly #options: WorkloadOptions;
  readonly #sink: HistorySink;
  readonly #now: () => number;
  readonly #lose: boolean;
  readonly acknowledged = 3;

  constructor(options: WorkloadOptions, sink: HistorySink, now: () => number, lose = false) {
    this.#options = options;
    this.#sink = sink;
    this.#now = now;
    this.#lose = lose;
  }

  async stop() {
    const { topic } = this.#options;
    const end = this.#now();
    const values = [0, 1, 2].map((counter) => headOf({ topic, partition: 0, producer: 'p', counter }));
    for (const [offset, value] of values.entries()) {
      const t1 = (end * (offset + 1)) / 4;
      const ops = [{ topic, partition: 0, offset, value }];
      await this.#sink.record({ client: 'p', f: 'send', type: 'ok', t0: t1 - 1, t1, ops });
    }
    const ops = values
      .slice(0, this.#lose ? 2 : 3)
      .map((value, offset) => ({ topic, partition: 0, offset, value }));
    await this.#sink.record({ client: 'drain', f: 'poll', type: 'ok', t0: end, t1: end, ops });
    return { acknowledged: 3, isDrained: !this.#lose, errors: [], complaints: new Map<string, number>() };
  }
}
