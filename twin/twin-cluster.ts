import path from 'node:path';
import { type FolderLock, lockFolder } from '../broker-runtime/src/adapters/folder-lock.ts';
import { OptionError } from './options.ts';
import type { Faults } from './faults.ts';
import { checkDataFolder, type ClusterPlan, planCluster } from './layout.ts';
import { type BrokerExit, BrokerProcessError, SupervisedBroker } from './supervised-broker.ts';

/** Events of brokers that are kept for those who ask later, such as a drill. */
const EVENTS_KEPT = 2_000;

/** Something a broker wrote to its standard error: the fields of the event, and who wrote it. */
export interface BrokerEvent {
  readonly broker: number;
  readonly event: string;
  readonly level: string;
  readonly time: string;
  readonly [field: string]: unknown;
}

export interface TwinEvents {
  brokerStarted(broker: SupervisedBroker, readyMs: number): void;
  brokerExited(broker: SupervisedBroker, exit: BrokerExit): void;
  event(event: BrokerEvent): void;
  /** Something that is no event: what Node itself writes when it dies. */
  noise(broker: SupervisedBroker, line: string): void;
}

/** All brokers of one cluster on this machine. */
export class TwinCluster {
  readonly dataDir: string;
  readonly brokers: readonly SupervisedBroker[];
  readonly #lock: FolderLock;
  readonly #events: BrokerEvent[] = [];
  #eventsDropped = 0;

  /** @throws {FolderLockedError | DataFolderError} */
  constructor(plan: ClusterPlan, events: TwinEvents) {
    this.dataDir = path.resolve(plan.dataDir);
    const planned = planCluster({ ...plan, dataDir: this.dataDir });
    this.#lock = lockFolder(this.dataDir);
    try {
      checkDataFolder(this.dataDir, planned);
    } catch (error) {
      this.#lock.release();
      throw error;
    }
    this.brokers = planned.map(
      (broker) =>
        new SupervisedBroker(broker, {
          started: (started, readyMs) => events.brokerStarted(started, readyMs),
          exited: (exited, exit) => events.brokerExited(exited, exit),
          line: (from, line) => {
            const event = parseEvent(from.nodeId, line);
            if (event === undefined) {
              events.noise(from, line);
              return;
            }
            this.#keep(event);
            events.event(event);
          },
        }),
    );
  }

  get bootstrapServers(): string {
    return this.brokers.map(({ address }) => `${address?.host ?? ''}:${address?.port ?? 0}`).join(',');
  }

  /** Resolves when all serve. @throws {BrokerProcessError} one of them cannot; none is left running then */
  async start(): Promise<void> {
    try {
      await Promise.all(this.brokers.map((broker) => broker.start(true)));
    } catch (error) {
      await this.kill();
      throw error;
    }
  }

  /** Everything is in the object store then, and no log is left to be read. @returns whether all stopped cleanly */
  async stop(): Promise<boolean> {
    // The controller last: the others tell it that they leave.
    const isLast = (broker: SupervisedBroker): boolean => broker.summary?.isController === true;
    const others = this.brokers.filter((broker) => !isLast(broker));
    const rest = this.brokers.filter(isLast);
    // Nobody is left to take partitions over: they wait.
    const statuses = await Promise.all(others.map((broker) => this.#stopOne(broker)));
    statuses.push(...(await Promise.all(rest.map((broker) => this.#stopOne(broker)))));
    this.#lock.release();
    return statuses.every((isClean) => isClean);
  }

  async kill(): Promise<void> {
    await Promise.all(this.brokers.map((broker) => broker.kill()));
    this.#lock.release();
  }

  /** @throws {OptionError} */
  broker(nodeId: number): SupervisedBroker {
    const broker = this.brokers.find((one) => one.nodeId === nodeId);
    if (broker !== undefined) return broker;
    const known = this.brokers.map((one) => one.nodeId).join(', ');
    throw new OptionError(`there is no broker ${nodeId}, allowed: ${known}`);
  }

  setStoreFaults(faults: Pick<Faults, 'isStoreDown' | 'storeDelayMs'>): void {
    for (const broker of this.brokers) broker.setFaults({ ...broker.faults, ...faults });
  }

  /** What brokers wrote since an earlier question, the oldest first. */
  eventsAfter(cursor: number): { readonly events: readonly BrokerEvent[]; readonly cursor: number } {
    const from = Math.max(0, cursor - this.#eventsDropped);
    return { events: this.#events.slice(from), cursor: this.#eventsDropped + this.#events.length };
  }

  async #stopOne(broker: SupervisedBroker): Promise<boolean> {
    if (broker.state === 'stopped') return true;
    try {
      return (await broker.stop(false)) === 0;
    } catch (error) {
      if (!(error instanceof BrokerProcessError)) throw error;
      await broker.kill();
      return false;
    }
  }

  #keep(event: BrokerEvent): void {
    this.#events.push(event);
    if (this.#events.length <= EVENTS_KEPT) return;
    this.#events.shift();
    this.#eventsDropped++;
  }
}

function parseEvent(broker: number, line: string): BrokerEvent | undefined {
  try {
    const fields: unknown = JSON.parse(line);
    if (typeof fields !== 'object' || fields === null || !('event' in fields)) return undefined;
    return { broker, ...fields } as BrokerEvent;
  } catch {
    return undefined;
  }
}
