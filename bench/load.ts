import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { runOk } from '../test/harness/command.ts';
import { javaArgs } from '../test/harness/kafka-java.ts';
import type { MeasuredBroker } from './brokers.ts';
import { processStats } from '../test/harness/process-stats.ts';

const ROOT = path.resolve(import.meta.dirname, '..');
const GIB = 1024 ** 3;
const DEADLINE_MS = 600_000;

/** Lines of 1 KiB that do not compress away: the input of the throughput runs. */
export function recordsFile(bytes: number): string {
  const file = path.join(ROOT, '.cache', `records-1KiB-${bytes}`);
  if (existsSync(file)) return file;
  mkdirSync(path.dirname(file), { recursive: true });
  const alphabet = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/';
  let state = 0x9e3779b9;
  const line = () => {
    let text = '';
    for (let n = 0; n < 1023; n += 1) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      text += alphabet[state >>> 26] ?? '';
    }
    return `${text}\n`;
  };
  const lines = Array.from({ length: 4096 }, line).join('');
  writeFileSync(file, '');
  for (let written = 0; written < bytes; written += lines.length) writeFileSync(file, lines, { flag: 'a' });
  return file;
}

export interface Throughput {
  readonly mibPerSecond: number;
  readonly cpuSecondsPerGib: number;
}

/** After the client is done, what the broker still does for its bytes (uploads, flushes) is its cost, too. */
const SETTLE_MS = 1_500;

async function measured(
  broker: MeasuredBroker,
  bytes: number,
  work: () => Promise<unknown>,
): Promise<Throughput> {
  const cpuBefore = processStats(broker.pid).cpuSeconds;
  const startedMs = performance.now();
  await work();
  const seconds = (performance.now() - startedMs) / 1000;
  await new Promise((settled) => setTimeout(settled, SETTLE_MS));
  const cpuSeconds = processStats(broker.pid).cpuSeconds - cpuBefore;
  return { mibPerSecond: bytes / 1024 ** 2 / seconds, cpuSecondsPerGib: (cpuSeconds * GIB) / bytes };
}

/** librdkafka through kcat: acks=all, 1 KiB messages. */
export function produce(
  broker: MeasuredBroker,
  topic: string,
  file: string,
  bytes: number,
): Promise<Throughput> {
  return measured(broker, bytes, () =>
    runOk(
      'kcat',
      [
        '-P',
        '-b',
        broker.bootstrapServers,
        '-t',
        topic,
        '-p',
        '0',
        '-X',
        'acks=-1',
        '-X',
        'linger.ms=5',
        '-l',
        file,
      ],
      { deadlineMs: DEADLINE_MS },
    ),
  );
}

/** librdkafka through kcat, from the beginning to the end of partition 0, so many times. */
export function consume(
  broker: MeasuredBroker,
  topic: string,
  bytes: number,
  passes = 1,
): Promise<Throughput> {
  return measured(broker, bytes * passes, async () => {
    for (let pass = 0; pass < passes; pass += 1) await readOnce(broker, topic);
  });
}

/**
 * Reads the topic again and again for as long as `beside` lasts. The reader stands for a client on another machine: it
 * takes only CPU that nobody else wants (SCHED_IDLE). With the broker's own priority on two cores its work is in the
 * producer's latency, whatever the broker does: p99 8 to 14 ms in place of 4 to 5.
 */
export async function readBeside(
  broker: MeasuredBroker,
  topic: string,
  bytes: number,
  beside: Promise<unknown>,
): Promise<{ readonly mibPerSecond: number }> {
  const startedMs = performance.now();
  let passes = 0;
  const progress = { over: false };
  const end = () => {
    progress.over = true;
  };
  beside.then(end, end);
  do {
    await readOnce(broker, topic, 'chrt --idle 0 ');
    passes += 1;
  } while (!progress.over);
  const seconds = (performance.now() - startedMs) / 1000;
  return { mibPerSecond: (bytes * passes) / 1024 ** 2 / seconds };
}

async function readOnce(broker: MeasuredBroker, topic: string, priority = ''): Promise<void> {
  const command = `${priority}kcat -C -q -e -b ${broker.bootstrapServers} -t ${topic} -p 0 -o beginning > /dev/null`;
  await runOk('bash', ['-c', command], { deadlineMs: DEADLINE_MS });
}

export interface Latency {
  readonly recordsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
}

/** The client is a Java process that starts: its first records measure its own compiler. */
const WARM_UP_SECONDS = 3;

/** Kafka's own ProducerPerformance at a fixed rate, 1 KiB records, acks=all; percentiles are the client's. */
export async function produceLatency(
  broker: MeasuredBroker,
  topic: string,
  recordsPerSecond: number,
  seconds: number,
): Promise<Latency> {
  const output = await runOk(
    'java',
    await javaArgs('producerPerformance', [
      ...['--topic', topic, '--num-records', String(recordsPerSecond * (seconds + WARM_UP_SECONDS))],
      ...['--warmup-records', String(recordsPerSecond * WARM_UP_SECONDS), '--record-size', '1024'],
      ...['--throughput', String(recordsPerSecond), '--producer-props'],
      ...[`bootstrap.servers=${broker.bootstrapServers}`, 'acks=all', 'linger.ms=0'],
    ]),
    { deadlineMs: DEADLINE_MS },
  );
  const last = output.trim().split('\n').at(-1) ?? '';
  const match = /([\d.]+) records\/sec.*?(\d+) ms 50th, (\d+) ms 95th, (\d+) ms 99th, (\d+) ms 99\.9th/.exec(
    last,
  );
  if (match === null) throw new Error(`ProducerPerformance printed no percentiles: ${last}`);
  const [rate, p50Ms, , p99Ms, p999Ms] = match.slice(1).map(Number);
  return { recordsPerSecond: rate ?? 0, p50Ms: p50Ms ?? 0, p99Ms: p99Ms ?? 0, p999Ms: p999Ms ?? 0 };
}
