import { setTimeout as sleep } from 'node:timers/promises';
import type { FaultInjector, Member } from '../drills/fault-injector.ts';
import type { FailoverTimes } from '../drills/report/measured.ts';
import type { Bundle } from './bundle.ts';
import { ControlClient, TwinControlError } from './control-client.ts';
import type { ListedBroker } from './control.ts';
import type { BrokerSummary } from './messages.ts';
import type { BrokerEvent } from './twin-cluster.ts';

const LOOK_AGAIN_MS = 100;
/** After all faults ended: a broker that was taken for dead ends and is started again. */
const HEAL_DEADLINE_MS = 90_000;
/** Of a spot interruption on AWS. Nobody needs it here: a clean stop takes seconds. */
const NOTICE_MS = 120_000;
const NODE_FENCED = 'controller.node-fenced';
const TAKEN_OVER = 'takeover.finished';
const OPENED = 'partition.opened';
/** Partitions open when somebody asks for them; what is asked for later than this had no client that waited. */
const REOPEN_WINDOW_MS = 10_000;

/** A running twin, as the drills break it. */
export class TwinFaults implements FaultInjector {
  readonly bootstrapServers: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly otherVersion: string | undefined;
  readonly #bundle: Bundle | undefined;
  readonly #control: ControlClient;
  /** Events before it are not of this drill. */
  readonly #cursor: number;

  /**
   * `bundle`: the other version, for drills that need one.
   * @throws {TwinControlError} NO_TWIN
   */
  static async open(dataDir: string, bundle?: Bundle): Promise<TwinFaults> {
    const control = ControlClient.of(dataDir);
    const { bootstrapServers, pid } = await control.call('list', {});
    const { cursor } = await control.call('events', { after: Number.MAX_SAFE_INTEGER });
    return new TwinFaults(control, bootstrapServers, pid, cursor, bundle);
  }

  private constructor(
    control: ControlClient,
    bootstrapServers: string,
    pid: number,
    cursor: number,
    bundle: Bundle | undefined,
  ) {
    this.#control = control;
    this.#cursor = cursor;
    this.#bundle = bundle;
    this.otherVersion = bundle?.name;
    this.bootstrapServers = bootstrapServers;
    this.environment = { where: 'this machine', twin: `process ${pid}`, node: process.version };
  }

  async members(): Promise<readonly Member[]> {
    return (await this.#brokers()).map((broker) => ({
      nodeId: broker.nodeId,
      zone: broker.zone,
      isController: isUp(broker) && broker.summary?.isController === true,
      isServing: isUp(broker),
    }));
  }

  async kill(nodeId: number): Promise<void> {
    await this.#control.call('kill', { nodeId });
  }

  async stop(nodeId: number): Promise<void> {
    const { status } = await this.#control.call('stop', { nodeId });
    if (status === 0) return;
    throw new TwinControlError(
      'UNCLEAN_STOP',
      `broker ${nodeId} was told to stop and ended with ${status ?? 'a signal'}`,
    );
  }

  async start(nodeId: number): Promise<void> {
    await this.#control.call('start', { nodeId });
  }

  async useVersion(nodeId: number, version: 'own' | 'other'): Promise<void> {
    const bundle = version === 'own' ? null : (this.#bundle?.file ?? null);
    await this.#control.call('version', { nodeId, bundle });
  }

  async pause(nodeId: number): Promise<void> {
    await this.#control.call('pause', { nodeId });
  }

  async resume(nodeId: number): Promise<void> {
    await this.#control.call('resume', { nodeId });
  }

  async cutOff(nodeId: number): Promise<void> {
    await this.#control.call('cut-off', { nodeId });
  }

  async restore(nodeId: number): Promise<void> {
    await this.#control.call('restore', { nodeId });
  }

  async loseZone(zone: string): Promise<void> {
    await Promise.all((await this.#inZone(zone)).map(({ nodeId }) => this.kill(nodeId)));
  }

  async restoreZone(zone: string): Promise<void> {
    await Promise.all((await this.#inZone(zone)).map(({ nodeId }) => this.start(nodeId)));
  }

  async interruptWithNotice(nodeId: number): Promise<void> {
    const stopped = this.stop(nodeId);
    const late = new AbortController();
    await Promise.race([
      stopped,
      sleep(NOTICE_MS, undefined, { signal: late.signal }).catch(() => undefined),
    ]);
    late.abort();
    await this.kill(nodeId);
  }

  interruptWithoutNotice(nodeId: number): Promise<void> {
    return this.kill(nodeId);
  }

  async objectStoreOutage(): Promise<void> {
    await this.#control.call('store', { isDown: true, delayMs: 0 });
  }

  async objectStoreSlow(delayMs: number): Promise<void> {
    await this.#control.call('store', { isDown: false, delayMs });
  }

  async objectStoreNormal(): Promise<void> {
    await this.#control.call('store', { isDown: false, delayMs: 0 });
  }

  /** A log whose memory is full takes nothing more, however large its volume. */
  async walFillShare(): Promise<number> {
    const shares = (await this.#brokers()).map(({ summary }) =>
      summary === undefined ? 0 : fillShare(summary),
    );
    return Math.max(0, ...shares);
  }

  async failoverTimes(): Promise<FailoverTimes | undefined> {
    const { events } = await this.#control.call('events', { after: this.#cursor });
    return slowestFailover(events);
  }

  async healAll(): Promise<void> {
    await this.objectStoreNormal();
    await Promise.all(
      (await this.#brokers()).map(async ({ nodeId, state, isCutOff, bundle }) => {
        if (bundle !== undefined) await this.useVersion(nodeId, 'own');
        if (isCutOff) await this.restore(nodeId);
        if (state === 'paused') await this.resume(nodeId);
        if (state === 'stopped') await this.start(nodeId);
      }),
    );
    const deadlineMs = performance.now() + HEAL_DEADLINE_MS;
    while (!(await this.#brokers()).every(isUp)) {
      if (performance.now() > deadlineMs) {
        throw new TwinControlError('NOT_HEALED', `not every broker served within ${HEAL_DEADLINE_MS} ms`);
      }
      await sleep(LOOK_AGAIN_MS);
    }
  }

  async #brokers(): Promise<readonly ListedBroker[]> {
    return (await this.#control.call('list', {})).brokers;
  }

  async #inZone(zone: string): Promise<readonly ListedBroker[]> {
    return (await this.#brokers()).filter((broker) => broker.zone === zone);
  }
}

function isUp({ state, isCutOff }: ListedBroker): boolean {
  return state === 'serving' && !isCutOff;
}

/** From the events of the controller, of those that took logs over, and of those that lead the partitions since. */
export function slowestFailover(events: readonly BrokerEvent[]): FailoverTimes | undefined {
  const failovers = events
    .filter(({ event }) => event === TAKEN_OVER)
    .map((finished): FailoverTimes => {
      const fenced = events.find(
        ({ event, nodeEpoch }) => event === NODE_FENCED && nodeEpoch === finished['nodeEpoch'],
      );
      return {
        detectMs: numberOf(fenced?.['silentMs']),
        fenceMs: numberOf(finished['fenceMs']),
        replayMs: numberOf(finished['replayMs']),
        commitMs: numberOf(finished['commitMs']),
        reopenMs: reopenMs(events, finished),
      };
    });
  const total = ({ detectMs, fenceMs, replayMs, commitMs }: FailoverTimes): number =>
    (detectMs ?? 0) + (fenceMs ?? 0) + (replayMs ?? 0) + (commitMs ?? 0);
  return failovers.sort((a, b) => total(b) - total(a))[0];
}

/** From the takeover to the last partition that opened elsewhere. */
function reopenMs(events: readonly BrokerEvent[], finished: BrokerEvent): number | null {
  const sinceMs = events
    .filter(({ event, broker }) => event === OPENED && broker !== finished['nodeId'])
    .map(({ time }) => Date.parse(time) - Date.parse(finished.time))
    .filter((ms) => ms >= 0 && ms <= REOPEN_WINDOW_MS);
  return sinceMs.length === 0 ? null : Math.max(...sinceMs);
}

function numberOf(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

function fillShare({ walUsedBytes, walCapacityBytes, walWaitingBytes }: BrokerSummary): number {
  return walWaitingBytes > 0 ? 1 : walUsedBytes / walCapacityBytes;
}
