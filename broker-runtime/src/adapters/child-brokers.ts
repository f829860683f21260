import { spawn } from 'node:child_process';
import { renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type {
  BrokerCredentials,
  BrokerLaunch,
  BrokerLoad,
  BrokerProcess,
  BrokerProcesses,
} from '../ports/broker-process.ts';
import { checkRenewal } from './tls-credentials.ts';

export interface ChildBrokersOptions {
  /** The bundle, which starts a broker when it is given the file of its configuration. */
  readonly program: string;
  /** Where configurations are written: each broker's own, by node id. */
  readonly folder: string;
  /** What the broker is started with. */
  readonly configOf: (launch: BrokerLaunch) => unknown;
}

/** Brokers as processes of this Node. They end with us: a broker without its agent would miss every notice. */
export class ChildBrokers implements BrokerProcesses {
  readonly #options: ChildBrokersOptions;

  constructor(options: ChildBrokersOptions) {
    this.#options = options;
  }

  checkRenewal({ tls, peerTls }: BrokerCredentials): void {
    for (const credentials of [tls, peerTls]) {
      if (credentials !== undefined) checkRenewal(credentials, Date.now());
    }
  }

  start(launch: BrokerLaunch): BrokerProcess {
    const { program, folder, configOf } = this.#options;
    const file = path.join(folder, `broker-${launch.nodeId}.json`);
    writeWhole(file, configOf(launch));
    const child = spawn(process.execPath, [program, file], { stdio: ['ignore', 'pipe', 'inherit'] });
    const killWithUs = (): void => void child.kill('SIGKILL');
    process.once('exit', killWithUs);
    const ended = new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(error.message));
      child.once('exit', (status, signal) => {
        process.off('exit', killWithUs);
        resolve(status === null ? (signal ?? 'unknown') : String(status));
      });
    });
    let load: BrokerLoad | undefined;
    const ready = new Promise<void>((resolve) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        const told = eventOf(line);
        if (told?.event === 'ready') resolve();
        if (told?.event === 'load') load = told;
      });
    });
    return {
      ready,
      ended,
      get load() {
        return load;
      },
      // Before it serves it would die of the signal.
      renew: (credentials) => {
        writeWhole(file, configOf({ ...launch, credentials }));
        void ready.then(() => child.kill('SIGHUP'));
      },
      stop: () => void child.kill('SIGTERM'),
      kill: killWithUs,
    };
  }
}

/** A broker that reads it meanwhile finds the one or the other. Private keys are in it. */
function writeWhole(file: string, config: unknown): void {
  const next = `${file}.next`;
  writeFileSync(next, JSON.stringify(config), { mode: 0o600 });
  renameSync(next, file);
}

type Told = { readonly event: 'ready' } | ({ readonly event: 'load' } & BrokerLoad);

/** What a broker tells, a line of JSON each; undefined: something else that was printed. */
function eventOf(line: string): Told | undefined {
  try {
    return JSON.parse(line) as Told;
  } catch {
    return undefined;
  }
}
