import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { MillraceError } from '../broker-runtime/src/base/errors.ts';
import type { BrokerConfig } from '../broker-runtime/src/main.ts';

/** The folder holds something else than what was asked for. */
export class DataFolderError extends MillraceError {
  readonly code = 'DATA_FOLDER';
}

export interface PlannedBroker {
  readonly nodeId: number;
  readonly zone: string;
  readonly config: BrokerConfig;
}

export interface ClusterPlan {
  readonly zones: number;
  readonly brokersPerZone: number;
  readonly dataDir: string;
  readonly host: string;
  /** Of the first broker; the others follow. 0: the system chooses all of them. */
  readonly port: number;
  readonly store: BrokerConfig['store'];
  readonly walFileBytes: number;
  readonly walKind: 'block' | 'object';
  readonly acceptWalLoss: boolean;
  readonly tls?: BrokerConfig['tls'];
  readonly memoryBytes: number;
  readonly settings: Readonly<Record<string, string>>;
}

/**
 * Node ids go around the zones, so that more brokers per zone leave those that are there where they are. A broker can
 * reach the volumes of its own zone, as on AWS.
 *
 *   DATA/objects          the object store, unless it is elsewhere
 *   DATA/zone-a/node-1/   lock and WAL of broker 1
 */
export function planCluster(plan: ClusterPlan): readonly PlannedBroker[] {
  const places = Array.from({ length: plan.zones * plan.brokersPerZone }, (_, index) => {
    const zone = zoneName(index % plan.zones);
    const nodeId = index + 1;
    return { nodeId, zone, folder: path.join(plan.dataDir, zone, `node-${nodeId}`) };
  });
  return places.map(({ nodeId, zone, folder }, index) => ({
    nodeId,
    zone,
    config: {
      nodeId,
      rack: zone,
      host: plan.host,
      port: plan.port === 0 ? 0 : plan.port + index,
      dataDir: folder,
      store: plan.store,
      walPaths: [],
      walFileBytes: plan.walFileBytes,
      sharedVolumes: Object.fromEntries(
        places
          .filter((other) => other.zone === zone)
          .map((other) => [other.nodeId, path.join(other.folder, 'wal')]),
      ),
      walKind: plan.walKind,
      acceptWalLoss: plan.acceptWalLoss,
      ...(plan.tls === undefined ? {} : { tls: plan.tls }),
      memoryBytes: plan.memoryBytes,
      settings: plan.settings,
    },
  }));
}

/**
 * Logs of brokers that are not started would never be read.
 * @throws {DataFolderError} the folder has brokers that `brokers` does not have
 */
export function checkDataFolder(dataDir: string, brokers: readonly PlannedBroker[]): void {
  const isCluster = brokers.length > 0;
  if (isCluster && existsSync(path.join(dataDir, 'wal'))) {
    throw new DataFolderError(
      `${dataDir} holds the log of a single broker: start it with --zones 1, or use another --data`,
    );
  }
  const planned = new Set(brokers.map(({ config }) => config.dataDir));
  const left = foldersOf(dataDir).filter((folder) => !planned.has(folder));
  if (left.length === 0) return;
  throw new DataFolderError(
    `${dataDir} holds brokers that were not asked for (${left.map((one) => path.relative(dataDir, one)).join(', ')}): ` +
      'start with as many --zones and --brokers-per-zone as before, or use another --data',
  );
}

function foldersOf(dataDir: string): readonly string[] {
  if (!existsSync(dataDir)) return [];
  return readdirSync(dataDir)
    .filter((zone) => zone.startsWith('zone-'))
    .flatMap((zone) => readdirSync(path.join(dataDir, zone)).map((node) => path.join(dataDir, zone, node)));
}

function zoneName(index: number): string {
  return `zone-${String.fromCharCode('a'.charCodeAt(0) + index)}`;
}
