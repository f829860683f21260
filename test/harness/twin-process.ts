import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { TwinFaults } from '../../twin/twin-faults.ts';

const ROOT = path.resolve(import.meta.dirname, '..', '..');
const READY_DEADLINE_MS = 120_000;
const LINES_KEPT = 20_000;

/** A cluster under test: `millrace up --json` with several brokers, each a process. */
export class TwinProcess {
  readonly bootstrapServers: string;
  readonly faults: TwinFaults;
  /** Events of all brokers, as they wrote them. */
  readonly events: readonly Readonly<Record<string, unknown>>[];
  readonly #child: ChildProcess;

  static async start(dataDir: string, args: readonly string[]): Promise<TwinProcess> {
    const command = [path.join(ROOT, 'bin', 'millrace.ts'), 'up', '--json', '--port', '0', '--data', dataDir];
    const child = spawn(process.execPath, [...command, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    const events: Record<string, unknown>[] = [];
    const noise: string[] = [];
    createInterface({ input: child.stderr }).on('line', (line) => {
      if (line.startsWith('{')) events.push(JSON.parse(line) as Record<string, unknown>);
      else noise.push(line);
      if (events.length > LINES_KEPT) events.shift();
    });
    const bootstrapServers = await new Promise<string>((resolve, reject) => {
      const fail = (why: string): void => {
        clearTimeout(deadline);
        child.kill('SIGKILL');
        reject(new Error(`the cluster did not get ready: ${why}\n${noise.slice(-30).join('\n')}`));
      };
      const deadline = setTimeout(() => fail(`no ready line in ${READY_DEADLINE_MS} ms`), READY_DEADLINE_MS);
      child.once('exit', (code, signal) => fail(`exit ${code ?? signal ?? '?'}`));
      createInterface({ input: child.stdout }).on('line', (line) => {
        const event = JSON.parse(line) as { event: string; bootstrapServers?: string };
        if (event.event !== 'ready' || event.bootstrapServers === undefined) return;
        clearTimeout(deadline);
        resolve(event.bootstrapServers);
      });
    });
    return new TwinProcess(child, bootstrapServers, events, await TwinFaults.open(dataDir));
  }

  private constructor(
    child: ChildProcess,
    bootstrapServers: string,
    events: readonly Readonly<Record<string, unknown>>[],
    faults: TwinFaults,
  ) {
    this.#child = child;
    this.bootstrapServers = bootstrapServers;
    this.events = events;
    this.faults = faults;
  }

  /** The node that is the controller, once one says so. */
  async controller(): Promise<number> {
    for (;;) {
      const found = (await this.faults.members()).find(({ isController }) => isController);
      if (found !== undefined) return found.nodeId;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  named(event: string): readonly Readonly<Record<string, unknown>>[] {
    return this.events.filter((one) => one['event'] === event);
  }

  /** @returns the exit status of a clean stop */
  async stop(): Promise<number | null> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return this.#child.exitCode;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await exited;
    return this.#child.exitCode;
  }
}
