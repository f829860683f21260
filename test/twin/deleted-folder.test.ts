import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Kafka, logLevel } from 'kafkajs';
import { TempDir } from '../harness/temp-dir.ts';
import { until } from '../harness/until.ts';

const COMMAND = path.resolve(import.meta.dirname, '..', '..', 'bin', 'millrace.ts');
const SMALL = ['--wal-size', '64MiB', '--memory', '128MiB'];
/** It took 65 s, and said that everything was in the object store. */
const END_LIMIT_MS = 15_000;
const START_LIMIT_MS = 60_000;
const TEST_MS = 120_000;

interface Ended {
  readonly status: number | null;
  /** Behind the line with the addresses. */
  readonly said: string;
}

/** A cluster that has acknowledged one record. */
class Cluster {
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  #stdout = '';

  static async start(dir: TempDir, args: readonly string[]): Promise<Cluster> {
    const command = [COMMAND, 'up', '--port', '0', '--data', dir.join('data'), ...SMALL, ...args];
    const cluster = new Cluster(spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'ignore'] }));
    await until('addresses', () => cluster.#stdout.includes('\n'), { limitMs: START_LIMIT_MS });
    const brokers = /bootstrap\.servers=(\S+)/.exec(cluster.#stdout)?.[1]?.split(',') ?? [];
    const producer = new Kafka({ brokers, logLevel: logLevel.NOTHING }).producer();
    await producer.connect();
    await producer.send({ topic: 'kept', messages: [{ value: 'acknowledged' }] });
    await producer.disconnect();
    return cluster;
  }

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#exited = once(child, 'exit');
    child.stdout?.on('data', (chunk: Buffer) => (this.#stdout += chunk.toString()));
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async ended(): Promise<Ended> {
    await this.#exited;
    return { status: this.#child.exitCode, said: this.#stdout.slice(this.#stdout.indexOf('\n') + 1) };
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

describe('failure class: a stop that waits for, and vouches for, what was deleted', () => {
  let dir: TempDir;
  let cluster: Cluster | undefined;

  beforeEach(() => {
    dir = new TempDir();
  });
  afterEach(() => {
    cluster?.kill();
    cluster = undefined;
    dir.remove();
  });

  const LOST =
    /^millrace failed \(DATA_FOLDER_GONE\): the folder \S+\/data was deleted while Millrace ran: all records are lost, .*\n$/;

  test.each([
    ['one broker', ['--zones', '1']],
    ['one broker whose log is in the store', ['--zones', '1', '--wal-kind', 'object']],
    ['three brokers', []],
  ])(
    '%s: a signal after the data folder was deleted',
    async (_, args) => {
      cluster = await Cluster.start(dir, args);
      dir.remove();
      const begunMs = performance.now();
      cluster.signal('SIGTERM');
      const { status, said } = await cluster.ended();
      expect(said).toMatch(LOST);
      expect(status).toBe(1);
      expect(performance.now() - begunMs).toBeLessThan(END_LIMIT_MS);
    },
    TEST_MS,
  );

  test(
    'three brokers that nobody stops: they end by themselves, and none is started again in a new folder',
    async () => {
      cluster = await Cluster.start(dir, []);
      const { brokers } = JSON.parse(readFileSync(dir.join('data', 'twin.json'), 'utf8')) as {
        brokers: { pid: number }[];
      };
      dir.remove();
      const { status, said } = await cluster.ended();
      expect(said).toMatch(LOST);
      expect(status).toBe(1);
      for (const { pid } of brokers) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
      expect(existsSync(dir.join('data'))).toBe(false);
    },
    TEST_MS,
  );

  test(
    'a store elsewhere: only what was in the log is lost',
    async () => {
      cluster = await Cluster.start(dir, ['--zones', '1', '--store', dir.join('elsewhere')]);
      rmSync(dir.join('data'), { recursive: true });
      cluster.signal('SIGINT');
      const { status, said } = await cluster.ended();
      expect(said).toMatch(/the write-ahead log is lost, and with it what was acknowledged and not uploaded/);
      expect(status).toBe(1);
    },
    TEST_MS,
  );
});
