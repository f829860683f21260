import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Kafka, logLevel } from 'kafkajs';
import { runOk } from './command.ts';
import type { Observation } from './history.ts';
import { javaArgs } from './kafka-java.ts';
import type { TempDir } from './temp-dir.ts';

/** A producer under load that remembers what it was told, until it is stopped. */
export interface LoadProducer {
  readonly acked: readonly Observation[];
  /** Errors the application saw: more than the client's own retries. */
  readonly errors: readonly string[];
  stop(): Promise<void>;
}

/**
 * Kafka's own VerifiableProducer: idempotent, acks=all, several requests in flight. `dir` takes its configuration,
 * `settings` are lines of it.
 */
export async function javaProducer(
  bootstrap: string,
  topic: string,
  recordsPerSecond: number,
  dir: TempDir,
  settings = '',
): Promise<LoadProducer> {
  // VerifiableProducer turns retries off, and idempotence with them; these are the Java client's own defaults.
  const config = dir.join('producer.properties');
  writeFileSync(
    config,
    'retries=2147483647\nenable.idempotence=true\ndelivery.timeout.ms=300000\n' + settings,
  );
  const args = ['--bootstrap-server', bootstrap, '--topic', topic, '--acks', '-1', '--value-prefix', '7'];
  const child = spawn(
    'java',
    await javaArgs('verifiableProducer', [
      ...args,
      '--command-config',
      config,
      '--throughput',
      String(recordsPerSecond),
      '--max-messages',
      '-1',
    ]),
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const exited = once(child, 'exit');
  const acked: Observation[] = [];
  const errors: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = JSON.parse(line) as { name: string; value: string; partition: number; offset: number };
    if (event.name === 'producer_send_success') {
      acked.push({ value: event.value, partition: event.partition, offset: event.offset });
    } else if (event.name === 'producer_send_error') errors.push(line);
  });
  return {
    acked,
    errors,
    stop: async () => {
      child.kill('SIGTERM');
      await exited;
    },
  };
}

export interface KafkajsLoad {
  /** Every record has a key of so many bytes. Default: none. */
  readonly keyBytes?: number;
  /** How long the broker may take to answer a produce request. Default: that of kafkajs. */
  readonly timeoutMs?: number;
}

/** kafkajs, idempotent: one request in flight, retries on. */
export async function kafkajsProducer(
  bootstrap: string,
  topic: string,
  batchRecords: number,
  { keyBytes, timeoutMs }: KafkajsLoad = {},
): Promise<LoadProducer> {
  const key = keyBytes === undefined ? {} : { key: Buffer.alloc(keyBytes, 'k') };
  const timeout = timeoutMs === undefined ? {} : { timeout: timeoutMs };
  const kafka = new Kafka({
    brokers: [bootstrap],
    logLevel: logLevel.NOTHING,
    requestTimeout: 10_000,
    connectionTimeout: 1_000,
    retry: { retries: 1_000, initialRetryTime: 50, maxRetryTime: 500 },
  });
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  const acked: Observation[] = [];
  const errors: string[] = [];
  let running = true;
  const loop = async () => {
    for (let counter = 0; running; counter += batchRecords) {
      const values = Array.from({ length: batchRecords }, (_, n) => `kafkajs.${counter + n}`);
      try {
        const [answer] = await producer.send({
          topic,
          acks: -1,
          ...timeout,
          messages: values.map((value) => ({ ...key, value, partition: 0 })),
        });
        const baseOffset = Number(answer?.baseOffset);
        values.forEach((value, n) => acked.push({ value, partition: 0, offset: baseOffset + n }));
      } catch (error) {
        errors.push(String(error));
      }
    }
  };
  const done = loop();
  return {
    acked,
    errors,
    stop: async () => {
      running = false;
      await done;
      await producer.disconnect();
    },
  };
}

/** Reads a whole topic with kcat, CRCs checked: the final drain. */
export async function drain(bootstrap: string, topic: string): Promise<Observation[]> {
  const stdout = await runOk(
    'kcat',
    [
      '-C',
      '-q',
      '-e',
      '-b',
      bootstrap,
      '-t',
      topic,
      '-o',
      'beginning',
      '-X',
      'check.crcs=true',
      '-f',
      '%p %o %s\\n',
    ],
    { deadlineMs: 300_000 },
  );
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [partition, offset, value] = line.split(' ');
      return { partition: Number(partition), offset: Number(offset), value: value ?? '' };
    });
}
