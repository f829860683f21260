import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';

export interface Child {
  readonly process: ChildProcess;
  /** Lines printed so far. */
  readonly lines: readonly string[];
  /** Resolves when this many lines were printed. */
  printed(count: number): Promise<void>;
  /** kill -9, and waits until it is gone. */
  kill(): Promise<void>;
}

const running = new Set<ChildProcess>();

/** For `afterEach`: a test that failed half-way must not leave a process that keeps the whole run waiting. */
export function killChildren(): void {
  for (const child of running) child.kill('SIGKILL');
}

/** Runs a program of `test/adapters/processes` as a process of its own. */
export function startChild(program: string, ...args: string[]): Child {
  const file = path.join(__dirname, 'processes', program);
  const child = spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  running.add(child);
  const exited = once(child, 'exit').finally(() => running.delete(child));
  const lines: string[] = [];
  const reader = createInterface({ input: child.stdout });
  reader.on('line', (line) => lines.push(line));
  return {
    process: child,
    lines,
    printed: async (count) => {
      while (lines.length < count) {
        await Promise.race([
          once(reader, 'line'),
          exited.then(() => {
            if (lines.length < count) throw new Error(`${program} ended after ${lines.length} lines`);
          }),
        ]);
      }
    },
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
