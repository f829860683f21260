import { spawn, type SpawnOptions } from 'node:child_process';

export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end and keeps what it printed. Rejects when it cannot be started or runs too long. */
export function run(
  command: string,
  args: readonly string[],
  options: SpawnOptions & { readonly input?: string; readonly deadlineMs?: number } = {},
): Promise<Finished> {
  const { input, deadlineMs = 120_000, ...spawnOptions } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { ...spawnOptions, stdio: ['pipe', 'pipe', 'pipe'] });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.stdin.on('error', () => undefined); // The command may end without reading its input.
    child.stdin.end(input);
    const deadline = setTimeout(() => {
      child.kill('SIGKILL');
      reject(
        new Error(
          `${command} ran longer than ${deadlineMs} ms\n${Buffer.concat(stderr).toString().slice(-2_000)}`,
        ),
      );
    }, deadlineMs);
    child.once('error', reject);
    child.once('close', (status) => {
      clearTimeout(deadline);
      resolve({ status, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() });
    });
  });
}

/** Like {@link run}, for commands that must succeed. */
export async function runOk(...args: Parameters<typeof run>): Promise<string> {
  const { status, stdout, stderr } = await run(...args);
  if (status !== 0) {
    throw new Error(
      `${args[0]} ${args[1].join(' ')} ended with ${status}\n${stdout.slice(-2_000)}\n${stderr.slice(-2_000)}`,
    );
  }
  return stdout;
}
