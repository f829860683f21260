import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { runWithGo } from './go.ts';
import { javaArgs } from './kafka-java.ts';
import { javaProducer } from './producers.ts';
import type { TempDir } from './temp-dir.ts';

const ROOT = path.resolve(import.meta.dirname, '..', '..');
const FRANZ_GO_SOURCE = path.join(ROOT, 'test', 'clients', 'franz-go-life');
const FLUSH_DEADLINE_MS = 120_000;
const KCAT_TICK_MS = 20;

/** An application with an idempotent producer and a consumer group of its own, on one topic of its own. */
export interface ClientLife {
  readonly name: string;
  readonly topic: string;
  /** Values whose acknowledgement the application was told. */
  readonly acked: ReadonlySet<string>;
  /** Values its group was given, so far. */
  readonly seen: ReadonlySet<string>;
  /** What the application would have to handle itself. */
  readonly errors: readonly string[];
  /** Longest time between two acknowledgements; undefined: the client does not tell when. */
  readonly longestStallMs: number | undefined;
  /** Ends the load once everything sent is acknowledged; consuming goes on. */
  endLoad(): Promise<void>;
  stop(): Promise<void>;
}

/** The longest time between two events. */
class Stalls {
  #lastMs: number | undefined;
  #longestMs = 0;

  event(): void {
    const nowMs = performance.now();
    if (this.#lastMs !== undefined) this.#longestMs = Math.max(this.#longestMs, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
  }

  get longestMs(): number {
    return this.#longestMs;
  }
}

/** Kafka's VerifiableProducer and two VerifiableConsumers in one group. */
export async function javaLife(
  bootstrap: string,
  recordsPerSecond: number,
  dir: TempDir,
): Promise<ClientLife> {
  const topic = 'java-life';
  const producer = await javaProducer(bootstrap, topic, recordsPerSecond, dir);
  const group = ['--group-id', `${topic}-group`, '--reset-policy', 'earliest', '--verbose'];
  const args = ['--bootstrap-server', bootstrap, '--topic', topic, ...group];
  const seen = new Set<string>();
  const errors: string[] = [];
  const consumers: ChildProcess[] = [];
  for (let member = 0; member < 2; member += 1) {
    const child = spawn('java', await javaArgs('verifiableConsumer', args), {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    consumers.push(child);
    createInterface({ input: child.stdout }).on('line', (line) => {
      const event = JSON.parse(line) as { name: string; value?: string; success?: boolean };
      if (event.name === 'record_data' && event.value !== undefined) seen.add(event.value);
      // A rebalance refuses commits: the consumer joins again, which is how groups work.
      if (event.name === 'error') errors.push(line);
    });
  }
  return {
    name: 'Java',
    topic,
    get acked() {
      return new Set(producer.acked.map(({ value }) => value));
    },
    seen,
    get errors() {
      return [...producer.errors, ...errors];
    },
    longestStallMs: undefined,
    endLoad: () => producer.stop(),
    stop: async () => {
      await Promise.all(consumers.map(terminate));
    },
  };
}

/** franz-go with its defaults; see test/clients/franz-go-life. */
export async function franzGoLife(bootstrap: string, recordsPerSecond: number): Promise<ClientLife> {
  const topic = 'franz-go-life';
  const cache = path.join(ROOT, '.cache', 'franz-go');
  const binary = path.join(cache, 'franz-go-life');
  mkdirSync(cache, { recursive: true });
  // Built beside the source of its copy, where Go may write what it found out about the modules.
  await runWithGo(
    cache,
    `rm -rf life && cp -r ${FRANZ_GO_SOURCE} life && cd life && go build -mod=mod -o ${binary} .`,
  );
  const child = spawn(binary, [bootstrap, topic, String(recordsPerSecond)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const acked = new Set<string>();
  const seen = new Set<string>();
  const errors: string[] = [];
  const stalls = new Stalls();
  const flushed = Promise.withResolvers<undefined>();
  createInterface({ input: child.stderr }).on('line', (line) => errors.push(line));
  createInterface({ input: child.stdout }).on('line', (line) => {
    const [event, , , value = ''] = line.split(' ');
    if (event === 'read') seen.add(value);
    else if (event === 'flushed') flushed.resolve(undefined);
    else if (event === 'ack') {
      acked.add(value);
      stalls.event();
    } else errors.push(line);
  });
  return {
    name: 'franz-go',
    topic,
    acked,
    seen,
    errors,
    get longestStallMs() {
      return stalls.longestMs;
    },
    endLoad: async () => {
      child.kill('SIGUSR1');
      await within(flushed.promise, 'franz-go did not flush');
    },
    stop: () => terminate(child),
  };
}

/** librdkafka through kcat: it ends with status 0 when all it was given was delivered. */
export function kcatLife(bootstrap: string, recordsPerSecond: number): ClientLife {
  const topic = 'kcat-life';
  const common = ['-b', bootstrap, '-X', 'topic.metadata.refresh.interval.ms=2000'];
  const delivery = ['-X', 'enable.idempotence=true', '-X', 'acks=all', '-X', 'message.timeout.ms=300000'];
  const producer = spawn('kcat', ['-P', ...common, '-t', topic, ...delivery], {
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  const group = ['-G', `${topic}-group`, '-X', 'auto.offset.reset=earliest', '-f', '%s\\n', topic];
  const sent: string[] = [];
  const seen = new Set<string>();
  const errors: string[] = [];
  let isDelivered = false;
  let isStopping = false;
  // What librdkafka writes while it tries again begins with %; kcat's own words are for the application.
  createInterface({ input: producer.stderr }).on('line', (line) => {
    if (!line.startsWith('%')) errors.push(line);
  });
  let consumer = consume();
  /** kcat gives up, as librdkafka does not, when every connection it has is broken at the same time: it is started again. */
  function consume(): ChildProcess {
    const child = spawn('kcat', [...common, '-q', '-u', ...group], { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    createInterface({ input: child.stderr }).on('line', (line) => (said = line));
    createInterface({ input: child.stdout }).on('line', (value) => seen.add(value));
    child.once('exit', (status, signal) => {
      if (isStopping) return;
      if (said.includes('All broker connections are down')) consumer = consume();
      else errors.push(`kcat -G ended with ${status ?? signal ?? '?'}: ${said}`);
    });
    return child;
  }
  const perTick = Math.max(1, Math.round((recordsPerSecond * KCAT_TICK_MS) / 1_000));
  const ticks = setInterval(() => {
    for (let n = 0; n < perTick; n += 1) {
      const value = `kcat.${sent.length}`;
      sent.push(value);
      producer.stdin.write(`${value}\n`);
    }
  }, KCAT_TICK_MS);
  return {
    name: 'librdkafka',
    topic,
    get acked() {
      return new Set(isDelivered ? sent : []);
    },
    seen,
    errors,
    longestStallMs: undefined,
    endLoad: async () => {
      clearInterval(ticks);
      const exited = once(producer, 'exit') as Promise<[number | null]>;
      producer.stdin.end();
      const [status] = await within(exited, 'kcat did not deliver everything');
      isDelivered = status === 0;
      if (!isDelivered) errors.push(`kcat ended with ${status ?? 'a signal'}`);
    },
    stop: async () => {
      isStopping = true;
      clearInterval(ticks);
      await Promise.all([terminate(producer), terminate(consumer)]);
    },
  };
}

async function terminate(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
}

async function within<T>(work: Promise<T>, failure: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${failure} in ${FLUSH_DEADLINE_MS} ms`)), FLUSH_DEADLINE_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
