import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';

const ROOT = path.resolve(import.meta.dirname, '..', '..');
const READY_DEADLINE_MS = 60_000;

export interface StartOptions {
  readonly dataDir: string;
  /** 0: the system chooses on the first start, and the same port is used after a restart. */
  readonly port?: number;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A single broker under test, in a process of its own: `millrace up --json --zones 1`, killed and started again at will. */
export class MillraceProcess {
  readonly #options: StartOptions;
  readonly stderr: string[] = [];
  readonly #events = new Map<string, Record<string, unknown>>();
  #child: ChildProcess | undefined;
  #port: number;

  private constructor(options: StartOptions) {
    this.#options = options;
    this.#port = options.port ?? 0;
  }

  static async start(options: StartOptions): Promise<MillraceProcess> {
    const process = new MillraceProcess(options);
    await process.restart();
    return process;
  }

  get bootstrapServers(): string {
    return `127.0.0.1:${this.#port}`;
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error('Millrace is not running');
    return pid;
  }

  /** Starts the process again after {@link kill}; resolves when it serves. @returns milliseconds from start to ready */
  async restart(): Promise<number> {
    const startedMs = performance.now();
    const child = spawn(
      process.execPath,
      [
        path.join(ROOT, 'bin', 'millrace.ts'),
        'up',
        '--json',
        '--zones',
        '1',
        '--port',
        String(this.#port),
        '--data',
        this.#options.dataDir,
        ...(this.#options.args ?? []),
      ],
      { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...this.#options.env } },
    );
    this.#child = child;
    createInterface({ input: child.stderr }).on('line', (line) => {
      this.stderr.push(line);
      if (this.stderr.length > 2_000) this.stderr.shift();
    });
    await new Promise<void>((resolve, reject) => {
      const deadline = setTimeout(() => fail(`no ready line in ${READY_DEADLINE_MS} ms`), READY_DEADLINE_MS);
      const fail = (why: string): void => {
        clearTimeout(deadline);
        reject(new Error(`Millrace did not get ready: ${why}\n${this.stderr.slice(-30).join('\n')}`));
      };
      child.once('exit', (code, signal) => fail(`exit ${code ?? signal ?? '?'}`));
      createInterface({ input: child.stdout }).on('line', (line) => {
        const event = JSON.parse(line) as { event: string; port?: number };
        this.#events.set(event.event, event);
        if (event.event !== 'ready' || event.port === undefined) return;
        this.#port = event.port;
        clearTimeout(deadline);
        resolve();
      });
    });
    return performance.now() - startedMs;
  }

  /** The newest line of a kind the process printed: `ready`, `status`, `stopped`. */
  lastEvent(kind: string): Readonly<Record<string, unknown>> | undefined {
    return this.#events.get(kind);
  }

  /** kill -9: nothing is flushed, nobody is told. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** @returns the exit status of a clean stop */
  async stop(signal: 'SIGTERM' | 'SIGINT' = 'SIGTERM'): Promise<number | null> {
    return this.#end(signal);
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null)
      return child?.exitCode ?? null;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
    return child.exitCode;
  }
}
