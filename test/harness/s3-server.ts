import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import path from 'node:path';
import { runOk } from './command.ts';

/**
 * The Versity gateway, an S3 server over a folder: one Go binary from the module proxy, keeps its data across its own
 * restarts (an outage can be real), answers If-None-Match and If-Match as S3 documents it, atomically, at a third of
 * the time a request needs with moto, whose data lives in memory besides.
 */
const VERSION = 'v1.8.0';
const CACHE = path.resolve(import.meta.dirname, '..', '..', '.cache', 's3-server', VERSION);
const BINARY = path.join(CACHE, 'versitygw');
const ACCESS_KEY = 'millrace';
const SECRET_KEY = 'millrace-secret';
const START_DEADLINE_MS = 10_000;

/** A real S3-compatible server for tests, on loopback. */
export class S3Server {
  readonly #folder: string;
  readonly #port: number;
  #child: ChildProcess | undefined;

  private constructor(folder: string, port: number) {
    this.#folder = folder;
    this.#port = port;
  }

  /** Installs the server if it is missing (needs Go), and starts it with its data in `folder`. */
  static async start(folder: string): Promise<S3Server> {
    await install();
    mkdirSync(folder, { recursive: true });
    const server = new S3Server(folder, await freePort());
    await server.resume();
    return server;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** For the environment of a process that uses the server. */
  get credentials(): Record<string, string> {
    return { AWS_ACCESS_KEY_ID: ACCESS_KEY, AWS_SECRET_ACCESS_KEY: SECRET_KEY, AWS_REGION: 'us-east-1' };
  }

  /** A bucket is a folder of the server: it is made without a client. */
  makeBucket(name: string): void {
    mkdirSync(path.join(this.#folder, name), { recursive: true });
  }

  /** Options of `millrace up` that put the object store here. */
  storeArgs(prefix: string): string[] {
    this.makeBucket('millrace-test');
    return ['--store', `s3://millrace-test/${prefix}`, '--store-endpoint', this.endpoint];
  }

  /** The server dies as with kill -9: connections break, further ones are refused. */
  async pause(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
    this.#child = undefined;
  }

  async resume(): Promise<void> {
    this.#child = spawn(
      BINARY,
      ['--port', `127.0.0.1:${this.#port}`, '--health', '/health', 'posix', this.#folder],
      { stdio: 'ignore', env: { ...process.env, ROOT_ACCESS_KEY: ACCESS_KEY, ROOT_SECRET_KEY: SECRET_KEY } },
    );
    const deadlineMs = performance.now() + START_DEADLINE_MS;
    while (!(await accepts(this.#port))) {
      if (performance.now() > deadlineMs) throw new Error(`no S3 server on port ${this.#port}`);
      await new Promise((next) => setTimeout(next, 50));
    }
  }

  async stop(): Promise<void> {
    await this.pause();
  }
}

async function install(): Promise<void> {
  if (existsSync(BINARY)) return;
  mkdirSync(CACHE, { recursive: true });
  await runOk('go', ['install', `github.com/versity/versitygw/cmd/versitygw@${VERSION}`], {
    env: { ...process.env, GOBIN: CACHE },
    deadlineMs: 900_000,
  });
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
