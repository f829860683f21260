import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';

const SCRIPT = path.resolve(import.meta.dirname, '..', '..', 'scripts', 's3-server.mjs');

/** What the script prints when the server answers. */
interface Ready {
  readonly endpoint: string;
  readonly bucket: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly pid: number;
}

/** A real S3-compatible server for tests, on loopback; keeps its data and its port across an outage. */
export class S3Server {
  readonly #folder: string;
  #script: ChildProcess | undefined;
  #ready: Ready | undefined;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async start(folder: string): Promise<S3Server> {
    const server = new S3Server(folder);
    await server.resume();
    return server;
  }

  /** For the environment of a process that uses the server. */
  get credentials(): Record<string, string> {
    const { accessKeyId, secretAccessKey, region } = this.#known();
    return { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_REGION: region };
  }

  get endpoint(): string {
    return this.#known().endpoint;
  }

  get bucket(): string {
    return this.#known().bucket;
  }

  /** Options of `millrace up` that put the object store here. */
  storeArgs(prefix: string): string[] {
    const { bucket, endpoint } = this.#known();
    return ['--store', `s3://${bucket}/${prefix}`, '--store-endpoint', endpoint];
  }

  /** The server dies as with kill -9: connections break, further ones are refused. */
  async pause(): Promise<void> {
    const script = this.#script;
    if (script === undefined) return;
    this.#script = undefined;
    const exited = once(script, 'exit');
    process.kill(this.#known().pid, 'SIGKILL');
    script.stdin?.end();
    await exited;
  }

  async resume(): Promise<void> {
    const port = this.#ready === undefined ? [] : ['--port', new URL(this.#ready.endpoint).port];
    const script = spawn(process.execPath, [SCRIPT, '--data', this.#folder, ...port], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#script = script;
    const exited = once(script, 'exit').then(([status]) => {
      throw new Error(`the S3 server ended with ${String(status)}`);
    });
    const line = once(createInterface({ input: script.stdout }), 'line') as Promise<[string]>;
    const [json] = await Promise.race([line, exited]);
    exited.catch(() => undefined); // From now on its end is expected.
    this.#ready = JSON.parse(json) as Ready;
  }

  async stop(): Promise<void> {
    await this.pause();
  }

  #known(): Ready {
    if (this.#ready === undefined) throw new Error('the S3 server was not started');
    return this.#ready;
  }
}
