import type { BrokerCredentials } from '../ports/broker-process.ts';

/** What one broker process needs to know: chosen by the command line, the twin, or an instance's configuration. */
export interface BrokerConfig extends BrokerCredentials {
  readonly nodeId: number;
  readonly host: string;
  readonly port: number;
  readonly advertisedHost?: string;
  /** The availability zone. */
  readonly rack?: string;
  /** Where other brokers reach this one. Default: the system chooses. */
  readonly internalPort?: number;
  /** Start although the WAL's volume with acknowledged records is gone. */
  readonly acceptWalLoss?: boolean;
  /** Held exclusively while the process runs. */
  readonly dataDir: string;
  readonly store: FileStoreConfig | S3StoreConfig;
  /** Block devices, or files that are made with `walFileBytes` when they are missing; for this broker alone. */
  readonly walPaths: readonly string[];
  readonly walFileBytes: number;
  /**
   * Instead of `walPaths`: by node id, the volumes of this broker and of those whose logs it can take over, itself included:
   * NVMe devices, or files that play volumes, each made with `walFileBytes` by its owner.
   */
  readonly sharedVolumes?: Readonly<Record<string, string>>;
  /** `object`: the WAL is in the store, and no volume is needed (protocol 2.2). Default: block. */
  readonly walKind?: 'block' | 'object';
  readonly memoryBytes: number;
  readonly settings: Readonly<Record<string, string>>;
}

export interface FileStoreConfig extends Generation {
  readonly kind: 'files';
  readonly directory: string;
}

export interface S3StoreConfig extends Generation {
  readonly kind: 's3';
  readonly bucket: string;
  readonly prefix: string;
  /** An S3-compatible server instead of AWS. */
  readonly endpoint?: string;
  readonly region?: string;
}

interface Generation {
  /** How often the cluster was promoted in a copy of its bucket. Default 0. */
  readonly generation?: number;
}
