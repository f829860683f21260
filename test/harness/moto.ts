import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';

const SCRIPT = path.resolve(import.meta.dirname, '..', '..', 'scripts', 'python-tools.mjs');
const START_WITHIN_MS = 60_000;

/** An emulated account (moto), empty at first, on loopback. */
export class Moto {
  readonly endpoint: string;
  readonly #process: ChildProcess;

  private constructor(endpoint: string, child: ChildProcess) {
    this.endpoint = endpoint;
    this.#process = child;
  }

  static async start(account: string): Promise<Moto> {
    const commands = execFileSync(process.execPath, [SCRIPT], { encoding: 'utf8' }).trim();
    const port = await freePort();
    const child = spawn(path.join(commands, 'moto_server'), ['--host', '127.0.0.1', '--port', String(port)], {
      env: { ...process.env, MOTO_ACCOUNT_ID: account },
      stdio: 'ignore',
    });
    const endpoint = `http://127.0.0.1:${port}`;
    for (const untilMs = performance.now() + START_WITHIN_MS; ;) {
      const isUp = await fetch(`${endpoint}/moto-api/`).then(
        ({ ok }) => ok,
        () => false,
      );
      if (isUp) return new Moto(endpoint, child);
      if (performance.now() > untilMs) throw new Error(`moto does not answer at ${endpoint}`);
      await new Promise((next) => setTimeout(next, 100));
    }
  }

  /** What SDK and CDK need to speak with it instead of AWS. */
  get env(): Record<string, string> {
    return { AWS_ENDPOINT_URL: this.endpoint, AWS_ACCESS_KEY_ID: 'moto', AWS_SECRET_ACCESS_KEY: 'moto' };
  }

  async stop(): Promise<void> {
    const exited = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await exited;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
