import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { BrokerConfig } from '../../broker-runtime/src/main.ts';
import type { Address } from '../../broker-runtime/src/ports/network.ts';
import { until } from './guest.ts';

const MIB = 1024 * 1024;
const FIRST_PORT = 9090;
/** Of what a broker printed, in the message of a failure. */
const LINES_SHOWN = 15;

/**
 * How long a broker may be silent: with one emulated CPU for two brokers and their clients, the usual 6 s would declare
 * a busy one dead.
 */
const SESSION_TIMEOUT_MS = 20_000;

/** What a broker told: an event of its log, or of its standard output. */
export type BrokerEvent = Readonly<Record<string, unknown>> & { readonly event: string };

export interface GuestBrokerOptions {
  readonly nodeId: number;
  /** Of the whole cluster, with its objects. */
  readonly folder: string;
  /** By node id: a device, as the broker's host sees it, or a file. */
  readonly volumes: Readonly<Record<string, string>>;
}

/** A broker in a process of its own, from the bundle that instances run. */
export class GuestBroker {
  readonly address: Address;
  /** In the order in which they came. */
  readonly events: BrokerEvent[] = [];
  readonly #nodeId: number;
  readonly #process: ChildProcess;
  readonly #noise: string[] = [];
  #exit: string | undefined;

  constructor({ nodeId, folder, volumes }: GuestBrokerOptions) {
    this.#nodeId = nodeId;
    this.address = { host: '127.0.0.1', port: FIRST_PORT + nodeId };
    const config: BrokerConfig = {
      nodeId,
      ...this.address,
      rack: 'zone-a',
      dataDir: path.join(folder, `node-${nodeId}`),
      store: { kind: 'files', directory: path.join(folder, 'objects') },
      walPaths: [],
      walFileBytes: 64 * MIB,
      sharedVolumes: volumes,
      memoryBytes: 128 * MIB,
      settings: {
        'broker.session.timeout.ms': String(SESSION_TIMEOUT_MS),
        // What was led by one broker is led by it until it dies.
        'auto.leader.rebalance.enable': 'false',
      },
    };
    mkdirSync(folder, { recursive: true });
    const file = path.join(folder, `broker-${nodeId}.json`);
    writeFileSync(file, JSON.stringify(config));
    this.#process = spawn(process.execPath, [path.join(import.meta.dirname, 'millrace-broker.mjs'), file], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const output of [this.#process.stdout, this.#process.stderr]) {
      if (output !== null) createInterface({ input: output }).on('line', (line) => this.#take(line));
    }
    this.#process.on('exit', (status, signal) => {
      this.#exit = signal ?? String(status);
    });
  }

  signal(name: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): void {
    this.#process.kill(name);
  }

  /** The first event of this name that has these fields. */
  heard(event: string, fields: Record<string, unknown> = {}, deadlineMs?: number): Promise<BrokerEvent> {
    return this.#until(
      `"${event}" of broker ${this.#nodeId}`,
      () => {
        const found = this.all(event).find((told) =>
          Object.entries(fields).every(([name, value]) => told[name] === value),
        );
        if (found === undefined && this.#exit !== undefined) throw new Error(`it ended: ${this.#exit}`);
        return found;
      },
      deadlineMs,
    );
  }

  all(event: string): BrokerEvent[] {
    return this.events.filter((told) => told.event === event);
  }

  /** Its exit status, or the signal that ended it, once it has ended. */
  ended(): Promise<string> {
    return this.#until(`the end of broker ${this.#nodeId}`, () => this.#exit);
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.ended();
  }

  async #until<T>(what: string, look: () => T | undefined, deadlineMs?: number): Promise<T> {
    try {
      return await until(what, look, deadlineMs);
    } catch (error) {
      const lines = [...this.#noise, ...this.events.map((told) => JSON.stringify(told))].slice(-LINES_SHOWN);
      throw new Error(`${what} did not come; its last lines:\n${lines.join('\n')}`, { cause: error });
    }
  }

  #take(line: string): void {
    if (line.startsWith('{')) this.events.push(JSON.parse(line) as BrokerEvent);
    else this.#noise.push(line);
  }
}
