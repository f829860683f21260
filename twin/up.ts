import { readFileSync } from 'node:fs';
import path from 'node:path';
import { messageOf, MillraceError } from '../broker-runtime/src/base/errors.ts';
import { type BrokerConfig, type RunningBroker, runBroker } from '../broker-runtime/src/main.ts';
import type { TlsCredentials } from '../broker-runtime/src/ports/network.ts';
import { FOLDER_GONE, folderGoneText, goneFolder, stoppedText } from './data-folder.ts';
import { checkDataFolder, type ClusterPlan } from './layout.ts';
import { OptionError, storeConfig, type StoreOptions } from './options.ts';
import { liveLine, type Print, printer, untilSignal } from './output.ts';
import { formatStatus } from './status-line.ts';
import { upCluster } from './up-cluster.ts';

const STATUS_INTERVAL_MS = 500;
const MIB = 1024 * 1024;

/** Of one broker that has the machine for itself, and of one of several. */
const DEFAULTS = {
  single: { memoryBytes: 512 * MIB, walFileBytes: 512 * MIB },
  cluster: { memoryBytes: 192 * MIB, walFileBytes: 128 * MIB },
};

/** The options of `millrace up`, as parsed. */
export interface UpOptions extends StoreOptions {
  readonly zones: number;
  readonly brokersPerZone: number;
  readonly port: number;
  readonly host: string;
  readonly data: string;
  readonly wal?: readonly string[];
  readonly walKind: 'block' | 'object';
  readonly walSize?: number;
  readonly acceptWalLoss: boolean;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsClientCa?: string;
  readonly memory?: number;
  readonly set: Readonly<Record<string, string>>;
  readonly json: boolean;
}

/** `millrace up`: a cluster, or one broker in this process. @returns the exit status */
export function up(options: UpOptions): Promise<number> {
  if (options.zones * options.brokersPerZone === 1) return upSingle(options);
  if (options.wal !== undefined) {
    throw new OptionError(
      '--wal names the devices of one broker, and several were asked for: add --zones 1, or leave it out',
    );
  }
  return upCluster(clusterPlan(options), options.json);
}

function clusterPlan(options: UpOptions): ClusterPlan {
  const { zones, brokersPerZone, host, port, set: settings } = options;
  return {
    zones,
    brokersPerZone,
    host,
    port,
    dataDir: path.resolve(options.data),
    store: storeConfig(options, path.join(options.data, 'objects')),
    walFileBytes: options.walSize ?? DEFAULTS.cluster.walFileBytes,
    walKind: options.walKind,
    acceptWalLoss: options.acceptWalLoss,
    ...tlsOf(options),
    memoryBytes: options.memory ?? DEFAULTS.cluster.memoryBytes,
    settings,
  };
}

/** @throws {OptionError} one without the other, or a file that cannot be read */
function tlsOf({ tlsCert, tlsKey, tlsClientCa }: UpOptions): { readonly tls?: TlsCredentials } {
  if (tlsCert === undefined && tlsKey === undefined && tlsClientCa === undefined) return {};
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new OptionError(
      'TLS needs --tls-cert FILE and --tls-key FILE; --tls-client-ca FILE asks clients for theirs',
    );
  }
  return {
    tls: {
      certificate: pem('--tls-cert', tlsCert),
      privateKey: pem('--tls-key', tlsKey),
      ...(tlsClientCa === undefined ? {} : { clientAuthorities: pem('--tls-client-ca', tlsClientCa) }),
    },
  };
}

function pem(option: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new OptionError(`${option} ${file} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

function brokerConfig(options: UpOptions): BrokerConfig {
  const dataDir = path.resolve(options.data);
  return {
    nodeId: 1,
    host: options.host,
    port: options.port,
    dataDir,
    store: storeConfig(options, path.join(options.data, 'objects')),
    walPaths: (options.wal ?? [path.join(dataDir, 'wal')]).map((file) => path.resolve(file)),
    walFileBytes: options.walSize ?? DEFAULTS.single.walFileBytes,
    walKind: options.walKind,
    acceptWalLoss: options.acceptWalLoss,
    ...tlsOf(options),
    memoryBytes: options.memory ?? DEFAULTS.single.memoryBytes,
    settings: options.set,
  };
}

/**
 * One broker in this process until a signal or a failure ends it.
 * @returns the exit status: 0 after a clean stop, 1 when the broker failed
 */
async function upSingle(options: UpOptions): Promise<number> {
  const print = printer(options.json);
  checkDataFolder(path.resolve(options.data), []);

  const config = brokerConfig(options);
  // Listened for before anybody can know that we run: also while starting, which waits for the object store.
  const signal = untilSignal(() => undefined);
  const started = await Promise.race([
    signal,
    // A person watches the status line and wants to hear of trouble only.
    runBroker(config, options.json ? { format: 'json' } : { format: 'text', minLevel: 'warn' }),
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
  if (ended instanceof Error) return tellFailure(ended, config, print);
  const served = Object.fromEntries(broker.status().server.served);
  const isClean = await Promise.race([broker.close(), broker.failed]);
  if (isClean instanceof Error) return tellFailure(isClean, config, print);
  print('stopped', { signal: ended, isClean, served }, stoppedText(ended, isClean));
  return isClean ? 0 : 1;
}

/** Nothing is written any more: the next start replays the log, if it is still there. @returns the exit status */
function tellFailure(error: Error, config: BrokerConfig, print: Print): number {
  const cause = error instanceof MillraceError ? error.code : 'ERROR';
  const gone = goneFolder(config);
  const [code, message] =
    gone === undefined ? [cause, error.message] : [FOLDER_GONE, folderGoneText(gone, config)];
  print('failed', { code, message }, `millrace failed (${code}): ${message}`);
  return 1;
}

/** A live line on a terminal, one JSON object a line for machines, nothing when output goes to a file. */
function showStatus(broker: RunningBroker, json: boolean): () => void {
  if (!json && !process.stderr.isTTY) return () => undefined;
  if (json) {
    const interval = setInterval(
      () => process.stdout.write(`${JSON.stringify({ event: 'status', ...broker.status() })}\n`),
      STATUS_INTERVAL_MS,
    );
    return () => clearInterval(interval);
  }
  let before = broker.status();
  let beforeMs = performance.now();
  return liveLine(STATUS_INTERVAL_MS, () => {
    const now = broker.status();
    const nowMs = performance.now();
    const line = formatStatus(now, before, nowMs - beforeMs);
    [before, beforeMs] = [now, nowMs];
    return line;
  });
}
