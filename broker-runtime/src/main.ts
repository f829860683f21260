import { mkdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { DirectBlockDevice } from './adapters/direct-block-device.ts';
import { lockFolder } from './adapters/folder-lock.ts';
import { letHeapGrow } from './adapters/heap-growth.ts';
import type { LineEventsOptions } from './adapters/line-events.ts';
import { NvmeReservation } from './adapters/nvme-reservation.ts';
import { SharedDeviceVolume } from './adapters/shared-device-volume.ts';
import { SharedFileVolume } from './adapters/shared-file-volume.ts';
import { systemEnv } from './adapters/system-env.ts';
import { Broker, type BrokerStatus, type CloseOptions } from './broker.ts';
import { exclusiveVolumes } from './broker/exclusive-volume.ts';
import { sharedVolumes } from './broker/shared-volumes.ts';
import type { WalVolumes } from './broker/wal-volume.ts';
import type { BrokerConfig } from './main/broker-config.ts';
import { Certificates } from './main/certificates.ts';
import { openGeneration } from './main/generation.ts';
import { reportLoad } from './main/load-reports.ts';
import { openObjects } from './main/open-objects.ts';
import type { BlockDevice } from './ports/block-device.ts';
import type { Env } from './ports/env.ts';
import type { Address, Network } from './ports/network.ts';
import type { ObjectStore } from './ports/object-store.ts';
import type { SharedVolume } from './ports/shared-volume.ts';

/** Any will do: nothing happens when it is over. */
const STAY_ALIVE_MS = 60_000;

export type { BrokerConfig, FileStoreConfig, S3StoreConfig } from './main/broker-config.ts';

/** What stands between a broker and the real world, for those who want to disturb it. */
export interface Surroundings {
  readonly network?: (real: Network) => Network;
  readonly objects?: (real: ObjectStore) => ObjectStore;
}

export interface RunningBroker {
  readonly address: Address;
  readonly internalAddress: Address;
  readonly failed: Promise<Error>;
  /** Renewed while the broker runs: see {@link Certificates.renew}. */
  readonly certificates: Certificates;
  status(): BrokerStatus;
  /** Stops cleanly; when it resolves with true, everything is in the object store. See {@link Broker.close}. */
  close(options?: CloseOptions): Promise<boolean>;
}

/**
 * Starts a broker in the real world. @throws {MillraceError} when the configuration, a device, the data folder, the
 * store or the address cannot be used
 */
export async function runBroker(
  config: BrokerConfig,
  log: LineEventsOptions = {},
  surroundings: Surroundings = {},
): Promise<RunningBroker> {
  letHeapGrow();
  const env = systemEnv(log);
  const lock = lockFolder(config.dataDir);
  const letGo = stayAlive();
  const opened: (() => Promise<void>)[] = [];
  try {
    const realObjects = await openObjects(env, config.store);
    const objects = surroundings.objects?.(realObjects) ?? realObjects;
    opened.push(() => objects.close());
    const cluster = await openGeneration(env, objects, config.store.generation);
    const volumes = await openVolumes(env, config, opened);
    const disturbed = surroundings.network ?? ((real: Network) => real);
    const certificates = new Certificates(env, config);
    const network = disturbed(certificates.peers);
    const isOne = certificates.clients === certificates.peers;
    const clientNetwork = isOne ? network : disturbed(certificates.clients);
    const broker = await Broker.start(
      { env, objects: cluster, volumes, network, clientNetwork },
      {
        nodeId: config.nodeId,
        listen: { host: config.host, port: config.port },
        ...(config.advertisedHost === undefined ? {} : { advertisedHost: config.advertisedHost }),
        internalListen: { host: config.host, port: config.internalPort ?? 0 },
        zone: config.rack ?? '',
        acceptWalLoss: config.acceptWalLoss ?? false,
        memoryBytes: config.memoryBytes,
        settings: config.settings,
      },
    );
    return {
      address: broker.address,
      internalAddress: broker.internalAddress,
      failed: broker.failed,
      certificates,
      status: () => broker.status(),
      close: async (options) => {
        const isEmpty = await broker.close(options);
        if (volumes !== 'object') volumes.close();
        await objects.close();
        lock.release();
        letGo();
        return isEmpty;
      },
    };
  } catch (error) {
    await Promise.allSettled(opened.reverse().map((close) => close()));
    lock.release();
    letGo();
    throw error;
  }
}

/**
 * The timers of a broker keep no process alive, and while it starts or stops there is no listener that would: Node
 * would end the process, with status 0, in the first pause between two requests to an object store that is down.
 */
function stayAlive(): () => void {
  const timer = setInterval(() => undefined, STAY_ALIVE_MS);
  return () => clearInterval(timer);
}

async function openVolumes(
  env: Env,
  { walKind, walPaths, walFileBytes, sharedVolumes: shared }: BrokerConfig,
  opened: (() => Promise<void>)[],
): Promise<WalVolumes | 'object'> {
  if (walKind === 'object') return 'object';
  if (shared !== undefined) {
    const volumes = Object.entries(shared).map(
      ([nodeId, volume]) => [Number(nodeId), sharedVolume(env, volume, walFileBytes)] as const,
    );
    return sharedVolumes(env, new Map(volumes));
  }
  const devices: BlockDevice[] = [];
  for (const walPath of walPaths) {
    mkdirSync(path.dirname(walPath), { recursive: true });
    const device = await DirectBlockDevice.open(env, walPath, { createBytes: walFileBytes });
    opened.push(() => device.close());
    devices.push(device);
  }
  return exclusiveVolumes(devices);
}

/** A device has reservations of its own; a file plays a volume on one machine. */
function sharedVolume(env: Env, volume: string, walFileBytes: number): SharedVolume {
  if (statSync(volume, { throwIfNoEntry: false })?.isBlockDevice() === true) {
    return new SharedDeviceVolume(env, volume, new NvmeReservation(env.clock, volume));
  }
  mkdirSync(path.dirname(volume), { recursive: true });
  return new SharedFileVolume(env, volume, walFileBytes);
}

const USAGE = `usage: millrace-broker CONFIG.json          one broker (BrokerConfig in broker-runtime/src/main)
       millrace-broker agent INSTANCE.json  what an instance runs (InstanceConfig in broker-runtime/src/agent)
`;

function readConfig(file: string): BrokerConfig {
  return JSON.parse(readFileSync(file, 'utf8')) as BrokerConfig;
}

/** Under a supervisor that starts it again when it fails: systemd for the agent, the agent for a broker. */
async function main([first, second]: readonly string[]): Promise<number> {
  if (first === 'agent' && second !== undefined) {
    // The clients of AWS are loaded by those who talk to it.
    const { runAgent } = await import('./main/run-agent.ts');
    return runAgent(second, fileURLToPath(import.meta.url));
  }
  if (first === undefined || first === 'agent') {
    process.stderr.write(USAGE);
    return 2;
  }
  const configFile = first;
  const config = readConfig(configFile);
  const broker = await runBroker(config);
  process.on('SIGHUP', () => broker.certificates.renewFrom(() => readConfig(configFile)));
  const say = (event: string, fields: object): void =>
    void process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
  say('ready', broker.address);
  const stopReports = reportLoad(broker, (load) => say('load', load));
  const stopped = new Promise<'stopped'>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => resolve('stopped'));
  });
  const ended = await Promise.race([stopped, broker.failed]);
  stopReports();
  if (ended !== 'stopped') {
    process.stderr.write(`${JSON.stringify({ event: 'failed', message: ended.message })}\n`);
    return 1;
  }
  return (await broker.close()) ? 0 : 1;
}

if (import.meta.main) {
  main(process.argv.slice(2)).then(
    (status) => process.exit(status),
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
      process.exit(1);
    },
  );
}
