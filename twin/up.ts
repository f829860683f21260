import path from 'node:path';
import { MillraceError } from '../broker-runtime/src/base/errors.ts';
import { type BrokerConfig, type RunningBroker, runBroker } from '../broker-runtime/src/main.ts';
import type { StoreLocation } from './options.ts';
import { formatStatus } from './status-line.ts';

const STATUS_INTERVAL_MS = 500;

/** The options of `millrace up`, as parsed. */
export interface UpOptions {
  readonly port: number;
  readonly host: string;
  readonly data: string;
  readonly store?: StoreLocation;
  readonly storeEndpoint?: string;
  readonly storeRegion?: string;
  readonly wal?: readonly string[];
  readonly walSize: number;
  readonly memory: number;
  readonly set: Readonly<Record<string, string>>;
  readonly json: boolean;
}

export function brokerConfig(options: UpOptions): BrokerConfig {
  const dataDir = path.resolve(options.data);
  const location = options.store ?? { kind: 'files', directory: path.join(dataDir, 'objects') };
  return {
    nodeId: 1,
    host: options.host,
    port: options.port,
    dataDir,
    store:
      location.kind === 'files'
        ? { kind: 'files', directory: path.resolve(location.directory) }
        : {
            ...location,
            ...(options.storeEndpoint === undefined ? {} : { endpoint: options.storeEndpoint }),
            ...(options.storeRegion === undefined ? {} : { region: options.storeRegion }),
          },
    walPaths: (options.wal ?? [path.join(dataDir, 'wal')]).map((file) => path.resolve(file)),
    walFileBytes: options.walSize,
    memoryBytes: options.memory,
    settings: options.set,
  };
}

/**
 * `millrace up`: one broker on this machine until a signal or a failure ends it.
 * @returns the exit status: 0 after a clean stop, 1 when the broker failed
 */
export async function up(options: UpOptions): Promise<number> {
  const print = (event: string, fields: Record<string, unknown>, text: string) =>
    process.stdout.write(options.json ? `${JSON.stringify({ event, ...fields })}\n` : `${text}\n`);

  // Listened for before anybody can know that we run: also while starting, which waits for the object store.
  const signal = untilSignal();
  const started = await Promise.race([
    signal,
    // A person watches the status line and wants to hear of trouble only.
    runBroker(
      brokerConfig(options),
      options.json ? { format: 'json' } : { format: 'text', minLevel: 'warn' },
    ),
  ]);
  if (typeof started === 'string') {
    print('stopped', { signal: started }, `stopped on ${started} before it served; nothing was changed`);
    return 0;
  }
  const broker = started;
  const { host, port } = broker.address;
  const bootstrapServers = `${host}:${port}`;
  print('ready', { host, port, bootstrapServers, pid: process.pid }, `bootstrap.servers=${bootstrapServers}`);

  const stopStatus = showStatus(broker, options.json);
  const ended = await Promise.race([signal, broker.failed]);
  stopStatus();
  if (ended instanceof Error) {
    const code = ended instanceof MillraceError ? ended.code : 'ERROR';
    print('failed', { code, message: ended.message }, `millrace failed (${code}): ${ended.message}`);
    // Nothing is written any more: the next start replays the log.
    return 1;
  }
  const served = Object.fromEntries(broker.status().server.served);
  await broker.close();
  print('stopped', { signal: ended, served }, `stopped on ${ended}; everything is in the object store`);
  return 0;
}

/** Resolves at the first SIGINT or SIGTERM; a second one does not wait for the uploads. */
function untilSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let asked = false;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        if (asked) process.exit(130);
        asked = true;
        resolve(signal);
      });
    }
  });
}

/** A live line on a terminal, one JSON object a line for machines, nothing when output goes to a file. */
function showStatus(broker: RunningBroker, json: boolean): () => void {
  if (!json && !process.stderr.isTTY) return () => undefined;
  let before = broker.status();
  let beforeMs = performance.now();
  const interval = setInterval(() => {
    const now = broker.status();
    const nowMs = performance.now();
    if (json) process.stdout.write(`${JSON.stringify({ event: 'status', ...now })}\n`);
    else process.stderr.write(`\r\u001b[K${formatStatus(now, before, nowMs - beforeMs)}`);
    before = now;
    beforeMs = nowMs;
  }, STATUS_INTERVAL_MS);
  return () => {
    clearInterval(interval);
    if (!json) process.stderr.write('\r\u001b[K');
  };
}
