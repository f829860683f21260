import { MillraceError } from '../base/errors.ts';

/** What an instance is told about itself by its metadata service. */
export interface InstanceMetadata {
  /** @throws {CloudError} */
  identity(): Promise<InstanceIdentity>;

  /** Why this instance should leave; undefined while it may stay. @throws {CloudError} */
  notice(): Promise<LeaveNotice | undefined>;
}

export interface InstanceIdentity {
  readonly instanceId: string;
  /** By name. */
  readonly zone: string;
  readonly privateIp: string;
}

/**
 * spot-interruption: taken back in two minutes. rebalance: likelier to be taken back, a replacement is on its way. terminating:
 * the group waits for our terminate hook.
 */
export type LeaveNotice = 'spot-interruption' | 'rebalance' | 'terminating';

/** The WAL volumes of a cluster in one zone. */
export interface CloudVolumes {
  /** @throws {CloudError} */
  list(cluster: string, zone: string): Promise<readonly CloudVolume[]>;

  /** Asks for it; {@link list} tells when it is done. @throws {CloudError} CONFLICT: not in a state for that, ask again */
  attach(volumeId: string, instanceId: string, deviceName: string): Promise<void>;

  /** Whether an instance may still write to its volumes. @throws {CloudError} */
  isRunning(instanceId: string): Promise<boolean>;
}

export interface CloudVolume {
  readonly volumeId: string;
  readonly nodeId: number;
  readonly attachments: readonly {
    readonly instanceId: string;
    readonly state: string;
    /** Under which name it was asked for; the kernel chooses another. */
    readonly deviceName: string;
  }[];
}

/** Names of brokers. */
export interface Names {
  /** @throws {CloudError} */
  put(name: string, address: string): Promise<void>;
  /** Unless it names another address by now. @throws {CloudError} */
  remove(name: string, address: string): Promise<void>;
}

/** Figures that scaling and alarms look at. */
export interface Metrics {
  /** One value of each name, which ends on its unit, of the moment. @throws {CloudError} */
  put(values: Readonly<Record<string, number>>, dimensions: Readonly<Record<string, string>>): Promise<void>;
}

/** Texts that nobody else may read. */
export interface Secrets {
  /** @throws {CloudError} */
  read(id: string): Promise<string>;
}

/** What the group is told about an instance. */
export interface Lifecycle {
  /** Nothing happens when no hook waits. @throws {CloudError} */
  complete(group: string, hook: string, instanceId: string): Promise<void>;
  /** The group replaces the instance. @throws {CloudError} */
  reportUnhealthy(instanceId: string): Promise<void>;
}

/** Attached devices by the volume they are. */
export interface VolumeDevices {
  /** A path such as /dev/nvme1n1; undefined while the kernel has not seen it. */
  find(volumeId: string): Promise<string | undefined>;
}

/**
 * CONFLICT: not in a state for that now. DENIED: a permission, a name or an id is wrong; repeating cannot help. UNAVAILABLE: no
 * answer after every repeat.
 */
export type CloudErrorCode = 'CONFLICT' | 'DENIED' | 'UNAVAILABLE';

export class CloudError extends MillraceError {
  readonly code: CloudErrorCode;

  constructor(code: CloudErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
