import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { ModelInstance } from '../aws-model/aws-account.ts';
import { startImds } from '../aws-model/aws-server.ts';
import type { TempDir } from '../harness/temp-dir.ts';

export interface InstanceWorld {
  readonly dir: TempDir;
  /** What cdk synth wrote: the bundle is among it. */
  readonly assets: string;
  /** Of the synthesized launch template. */
  readonly userData: string;
  /** Where AWS and S3 are, by the SDK's own variables. */
  readonly env: Readonly<Record<string, string>>;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
}

/** One instance: its user data run by a first process on a root of its own, until it ends or loses power. */
export class Instance {
  readonly lines: string[] = [];
  /** When its unit was started, by `performance.now()`. */
  startedAtMs: number | undefined;
  readonly model: ModelInstance;
  readonly ended: Promise<number | null>;
  readonly #process: ChildProcess;
  readonly #imds: Awaited<ReturnType<typeof startImds>>;

  private constructor(
    model: ModelInstance,
    machine: ChildProcess,
    imds: Awaited<ReturnType<typeof startImds>>,
  ) {
    this.model = model;
    this.#process = machine;
    this.#imds = imds;
    // 'exit' may come before the last of its lines.
    this.ended = once(machine, 'close').then(([status]) => {
      imds.closeAllConnections();
      imds.close();
      return status as number | null;
    });
    for (const stream of [machine.stdout, machine.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (line) => {
        this.lines.push(line);
        if (line === 'unit-started') this.startedAtMs = performance.now();
      });
    }
  }

  static async boot(model: ModelInstance, world: InstanceWorld): Promise<Instance> {
    const script = world.dir.join(`${model.instanceId}.sh`);
    writeFileSync(script, world.userData);
    const imds = await startImds(model, { credentials: world.credentials });
    const unitEnv = { ...world.env, AWS_EC2_METADATA_SERVICE_ENDPOINT: imds.endpoint };
    const boot = path.join(import.meta.dirname, 'boot.sh');
    const machine = spawn(
      'unshare',
      ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc', boot, script],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: {
          PATH: process.env['PATH'],
          MILLRACE_NODE: process.execPath,
          MILLRACE_ASSETS: world.assets,
          MILLRACE_UNIT_ENV: Object.entries(unitEnv)
            .map(([name, value]) => `${name}=${value}`)
            .join(' '),
        },
      },
    );
    return new Instance(model, machine, imds);
  }

  /** Power is gone: no process of it says goodbye. */
  async lose(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.ended;
  }
}
