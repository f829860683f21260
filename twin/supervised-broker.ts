import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { MillraceError } from '../broker-runtime/src/base/errors.ts';
import type { Address } from '../broker-runtime/src/ports/network.ts';
import { type Faults, NO_FAULTS } from './faults.ts';
import type { PlannedBroker } from './layout.ts';
import type { BrokerSummary, FromBroker, ToBroker } from './messages.ts';

const PROCESS = path.join(import.meta.dirname, 'broker-process.ts');
/** Between a failure and the next start: twice as long each time, until the broker has served. */
const RESTART = { firstMs: 200, maxMs: 5_000 };
/** A start waits for a neighbour that recovers the log, and for whoever becomes controller. */
const START_DEADLINE_MS = 60_000;
/** A stop drains for up to 15 s and uploads what is only in the log. */
const STOP_DEADLINE_MS = 60_000;

/** A broker did not start, or did not stop. */
export class BrokerProcessError extends MillraceError {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

export interface BrokerEvents {
  started(broker: SupervisedBroker, readyMs: number): void;
  exited(broker: SupervisedBroker, exit: BrokerExit): void;
  /** A line that the broker wrote to standard error. */
  line(broker: SupervisedBroker, line: string): void;
}

export interface BrokerExit {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Somebody wanted it. */
  readonly isExpected: boolean;
  readonly reason?: string;
}

export type BrokerState = 'starting' | 'serving' | 'paused' | 'stopped';

/** One broker process: started again when it fails, as systemd does on an instance, unless somebody wants it down. */
export class SupervisedBroker {
  readonly plan: PlannedBroker;
  readonly #events: BrokerEvents;
  readonly #launcher: readonly string[];
  #faults = NO_FAULTS;
  #bundle: string | undefined;
  #child: ChildProcess | undefined;
  #address: Address | undefined;
  #internalAddress: Address | undefined;
  #summary: BrokerSummary | undefined;
  #isReady = false;
  #isPaused = false;
  #isWanted = false;
  /** Failures since it served last. */
  #failures = 0;
  #restart: NodeJS.Timeout | undefined;
  #ready = newReady();

  /** `launcher`: the beginning of a command that runs the rest of it, such as `ip netns exec NAME`. */
  constructor(plan: PlannedBroker, events: BrokerEvents, launcher: readonly string[] = []) {
    this.plan = plan;
    this.#events = events;
    this.#launcher = launcher;
  }

  get nodeId(): number {
    return this.plan.nodeId;
  }
  /** Where clients reach it: the same in every life. */
  get address(): Address | undefined {
    return this.#address;
  }
  get internalAddress(): Address | undefined {
    return this.#isReady ? this.#internalAddress : undefined;
  }
  get pid(): number | undefined {
    return this.#child?.pid;
  }
  /** Of the life that runs, or of the last one. */
  get summary(): BrokerSummary | undefined {
    return this.#summary;
  }
  get faults(): Faults {
    return this.#faults;
  }
  /** The bundle that the next start runs; undefined: the code beside the twin. */
  get bundle(): string | undefined {
    return this.#bundle;
  }
  get state(): BrokerState {
    if (this.#child === undefined && !this.#isWanted) return 'stopped';
    if (this.#isPaused) return 'paused';
    return this.#isReady ? 'serving' : 'starting';
  }

  /**
   * Resolves when it serves. `firstTime`: a failure is an answer and not tried again: something the user has to mend.
   * @throws {BrokerProcessError}
   */
  async start(firstTime = false): Promise<void> {
    this.#isWanted = true;
    if (this.#child === undefined) {
      clearTimeout(this.#restart);
      this.#spawn(firstTime);
    }
    const late = new AbortController();
    try {
      await Promise.race([this.#ready.promise, this.#deadline('start', START_DEADLINE_MS, late.signal)]);
    } finally {
      late.abort();
    }
  }

  /** A clean stop. It stays down. @returns the exit status */
  async stop(drain: boolean): Promise<number | null> {
    this.#isWanted = false;
    clearTimeout(this.#restart);
    this.#continue();
    this.#send({ type: 'stop', drain });
    const late = new AbortController();
    try {
      await Promise.race([this.#exit(), this.#deadline('stop', STOP_DEADLINE_MS, late.signal)]);
    } finally {
      late.abort();
    }
    return this.#lastStatus;
  }

  /** kill -9. It stays down. */
  async kill(): Promise<void> {
    this.#isWanted = false;
    clearTimeout(this.#restart);
    this.#child?.kill('SIGKILL');
    await this.#exit();
  }

  pause(): void {
    if (this.#child?.kill('SIGSTOP') === true) this.#isPaused = true;
  }

  /** It runs on; if it was taken for dead meanwhile it ends, and is started again. */
  resume(): void {
    this.#continue();
  }

  setFaults(faults: Faults): void {
    this.#faults = faults;
    this.#send({ type: 'faults', faults });
  }

  /** From the next start on, those after a failure included. */
  useBundle(bundle: string | undefined): void {
    this.#bundle = bundle;
  }

  #lastStatus: number | null = null;

  #spawn(firstTime: boolean): void {
    const begunMs = performance.now();
    const [execPath = process.execPath, ...execArgv] = [
      ...this.#launcher,
      process.execPath,
      ...process.execArgv,
    ];
    const child = fork(PROCESS, [], { execPath, execArgv, stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    this.#child = child;
    let reason: string | undefined;
    let code = 'BROKER_EXITED';
    if (child.stderr !== null) {
      createInterface({ input: child.stderr }).on('line', (line) => this.#events.line(this, line));
    }
    child.on('message', (message: FromBroker) => {
      if (message.type === 'status') this.#summary = message.status;
      else if (message.type === 'failed') [code, reason] = [message.code, message.message];
      else {
        this.#address = message.address;
        this.#internalAddress = message.internalAddress;
        this.#isReady = true;
        this.#failures = 0;
        this.#events.started(this, performance.now() - begunMs);
        this.#ready.resolve(undefined);
      }
    });
    // It may be gone before it was told anything.
    child.on('error', () => undefined);
    child.once('exit', (status, signal) => {
      this.#child = undefined;
      this.#lastStatus = status;
      const hasServed = this.#isReady;
      this.#isReady = false;
      this.#isPaused = false;
      if (hasServed) this.#ready = newReady();
      const isExpected = !this.#isWanted;
      if (firstTime && !hasServed) {
        this.#isWanted = false;
        this.#ready.reject(
          new BrokerProcessError(
            code,
            reason ?? `broker ${this.nodeId} ended with ${status ?? signal ?? '?'}`,
          ),
        );
        return;
      }
      this.#events.exited(this, { status, signal, isExpected, ...(reason === undefined ? {} : { reason }) });
      if (this.#isWanted) this.#startLater();
    });
    // The port of the first life is what clients know.
    const { config } = this.plan;
    const port = this.#address?.port ?? config.port;
    const version = this.#bundle === undefined ? {} : { bundle: this.#bundle };
    this.#send({ type: 'start', config: { ...config, port }, faults: this.#faults, ...version });
  }

  #startLater(): void {
    const delayMs = Math.min(RESTART.maxMs, RESTART.firstMs * 2 ** this.#failures++);
    this.#restart = setTimeout(() => {
      if (this.#isWanted && this.#child === undefined) this.#spawn(false);
    }, delayMs);
  }

  #continue(): void {
    this.#child?.kill('SIGCONT');
    this.#isPaused = false;
  }

  #send(message: ToBroker): void {
    if (this.#child?.connected === true) this.#child.send(message, () => undefined);
  }

  async #exit(): Promise<void> {
    if (this.#child !== undefined) await once(this.#child, 'exit');
  }

  #deadline(what: string, limitMs: number, signal: AbortSignal): Promise<never> {
    return new Promise((_, reject) => {
      const timer = setTimeout(() => {
        const code = what === 'start' ? 'START_LATE' : 'STOP_LATE';
        reject(new BrokerProcessError(code, `broker ${this.nodeId} did not ${what} within ${limitMs} ms`));
      }, limitMs);
      signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
    });
  }
}

function newReady(): PromiseWithResolvers<undefined> {
  const ready = Promise.withResolvers<undefined>();
  // Nobody may be waiting.
  ready.promise.catch(() => undefined);
  return ready;
}
