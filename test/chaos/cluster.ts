import path from 'node:path';
import { type BrokerExit, SupervisedBroker } from '../../twin/supervised-broker.ts';
import { planCluster } from '../../twin/layout.ts';
import type { S3StoreConfig } from '../../broker-runtime/src/main.ts';
import type { Lan } from './lan.ts';

const PORT = 9092;
const INTERNAL_PORT = 9093;
const MIB = 1024 ** 2;

export interface ChaosExit extends BrokerExit {
  readonly nodeId: number;
}

/** Three zones with two brokers each, every one in a network namespace of its own. */
export class ChaosCluster {
  readonly brokers: readonly SupervisedBroker[];
  readonly exits: ChaosExit[] = [];
  /** How often each event was told, errors with their fields. */
  readonly events = new Map<string, number>();

  constructor(
    lan: Lan,
    dataDir: string,
    store: S3StoreConfig,
    credentials: Readonly<Record<string, string>>,
    heard: (line: string) => void = () => undefined,
  ) {
    const environment = Object.entries(credentials).map(([name, value]) => `${name}=${value}`);
    const planned = planCluster({
      zones: 3,
      brokersPerZone: 2,
      dataDir: path.resolve(dataDir),
      host: '',
      port: PORT,
      store,
      walFileBytes: 64 * MIB,
      walKind: 'block',
      acceptWalLoss: false,
      memoryBytes: 128 * MIB,
      settings: { 'group.initial.rebalance.delay.ms': '0' },
    });
    this.brokers = planned.map((plan) => {
      const { nodeId } = plan;
      const address = { host: lan.host(nodeId), port: PORT, internalPort: INTERNAL_PORT };
      return new SupervisedBroker(
        { ...plan, config: { ...plan.config, ...address } },
        {
          started: () => undefined,
          exited: (_, exit) => void this.exits.push({ nodeId, ...exit }),
          line: (_, line) => {
            this.#count(line);
            heard(line);
          },
        },
        ['env', ...environment, ...lan.launcher(nodeId)],
      );
    });
  }

  static nodeIds(): readonly number[] {
    return [1, 2, 3, 4, 5, 6];
  }

  get bootstrapServers(): string {
    return this.brokers.map(({ plan }) => `${plan.config.host}:${PORT}`).join(',');
  }

  async start(): Promise<void> {
    await Promise.all(this.brokers.map((broker) => broker.start(true)));
  }

  /** Resolves when all serve, or throws. */
  async untilServing(deadlineMs: number): Promise<void> {
    const lateMs = performance.now() + deadlineMs;
    while (!this.brokers.every(({ state }) => state === 'serving')) {
      if (performance.now() > lateMs) {
        const states = this.brokers.map(({ nodeId, state }) => `${nodeId}: ${state}`).join(', ');
        throw new Error(`not every broker served within ${deadlineMs} ms: ${states}`);
      }
      await new Promise((later) => setTimeout(later, 100));
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.brokers.map((broker) => broker.kill()));
  }

  #count(line: string): void {
    let name = line;
    try {
      const { event, level } = JSON.parse(line) as { event: string; level: string };
      name = level === 'error' ? line : event;
    } catch {
      // What Node writes when it dies: kept as it is.
    }
    this.events.set(name, (this.events.get(name) ?? 0) + 1);
  }
}
