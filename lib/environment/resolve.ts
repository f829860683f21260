import type {
  Architecture,
  Environment,
  ExistingNetwork,
  RecoveryOptions,
  ScheduledSize,
  TlsOptions,
} from './environment.ts';
import { InvalidEnvironmentError, problemsOf } from './validate.ts';

/** An environment with every default filled in, and without problems. */
export interface ResolvedEnvironment {
  readonly name: string;
  readonly tier: 'dev' | 'prod';
  readonly account: string;
  readonly region: string;
  readonly zones: readonly string[];
  readonly slotsPerZone: number;
  readonly instances: {
    readonly architecture: Architecture;
    readonly types: readonly string[];
    /** Undefined: the newest. */
    readonly imageId: string | undefined;
    readonly onDemandBasePerZone: number;
    readonly spotPercent: number;
    readonly sessionManager: boolean;
  };
  readonly wal: { readonly kind: 'block-shared' | 'object'; readonly sizeGiB: number; readonly iops: number };
  readonly data: {
    readonly bucketName: string;
    /** 0: the bucket is made by the storage stack. */
    readonly generation: number;
    readonly noncurrentDays: number;
    readonly removal: 'retain' | 'destroy';
  };
  readonly recovery:
    | (Required<Omit<RecoveryOptions, 'alarmTopicArn'>> & {
        readonly alarmTopicArn: string | undefined;
        /** Fixed, so that the first region's stack needs no reference into the second. */
        readonly bucketName: string;
      })
    | undefined;
  readonly network: { readonly cidr: string } | ExistingNetwork;
  readonly dns: { readonly domain: string; readonly hostedZoneId: string | undefined };
  readonly clients: {
    readonly allowedCidrs: readonly string[];
    readonly port: number;
    /** Undefined: plaintext, which was accepted. */
    readonly tls: Required<TlsOptions> | undefined;
  };
  /** Undefined: plaintext. */
  readonly peerTls: { readonly secretArn: string; readonly name: string } | undefined;
  readonly scaling: {
    readonly minPerZone: number;
    readonly maxPerZone: number;
    readonly schedule: readonly ScheduledSize[];
    readonly busyPercent: number | undefined;
  };
  readonly alarmTopicArn: string | undefined;
  readonly tags: Readonly<Record<string, string>>;
  readonly permissionsBoundaryArn: string | undefined;
  readonly brokerSettings: Readonly<Record<string, string>>;
}

export const DEFAULT_SLOTS_PER_ZONE = 2;
export const DEFAULT_WAL = { kind: 'block-shared', sizeGiB: 8, iops: 500 } as const;
export const DEFAULT_CIDR = '10.60.0.0/16';
export const DEFAULT_PORT = 9092;
const DEFAULT_NONCURRENT_DAYS = 7;

/** Several types of one size: likelier spot capacity, and no broker much weaker than its neighbour. */
const DEFAULT_TYPES = {
  dev: { arm64: ['t4g.medium'], x86_64: ['t3.medium'] },
  prod: {
    arm64: ['m7g.large', 'm8g.large', 'r7g.large', 'r8g.large'],
    x86_64: ['m7i.large', 'r7i.large'],
  },
} as const;

/** Fills in the defaults. @throws {InvalidEnvironmentError} with every problem at once */
export function resolveEnvironment(environment: Environment): ResolvedEnvironment {
  const problems = problemsOf(environment);
  if (problems.length > 0) throw new InvalidEnvironmentError(environment.name, problems);
  const {
    name,
    tier = 'dev',
    account,
    region,
    zones,
    recovery,
    network = {},
    dns,
    clients,
    scaling = {},
  } = environment;
  const slotsPerZone = environment.slotsPerZone ?? DEFAULT_SLOTS_PER_ZONE;
  const architecture = environment.instances?.architecture ?? 'arm64';
  const bucketName = environment.data?.bucketName ?? `millrace-${name}-${account}-${region}`;
  return {
    name,
    tier,
    account,
    region,
    zones,
    slotsPerZone,
    instances: {
      architecture,
      types: environment.instances?.types ?? DEFAULT_TYPES[tier][architecture],
      imageId: environment.instances?.imageId,
      onDemandBasePerZone: environment.instances?.onDemandBasePerZone ?? 0,
      spotPercent: environment.instances?.spotPercent ?? 100,
      sessionManager: environment.instances?.sessionManager ?? false,
    },
    wal: { ...DEFAULT_WAL, ...environment.wal },
    data: {
      bucketName,
      generation: environment.data?.promoted?.generation ?? 0,
      noncurrentDays: environment.data?.noncurrentDays ?? DEFAULT_NONCURRENT_DAYS,
      removal: environment.data?.removal ?? 'retain',
    },
    recovery:
      recovery === undefined
        ? undefined
        : {
            storageClass: 'STANDARD',
            replicationTimeControl: false,
            alarmTopicArn: undefined,
            ...recovery,
            bucketName: `${bucketName.slice(0, 63 - '-replica'.length)}-replica`,
          },
    network: 'vpcId' in network ? network : { cidr: network.cidr ?? DEFAULT_CIDR },
    dns: { domain: dns?.domain ?? `${name}.millrace.internal`, hostedZoneId: dns?.hostedZoneId },
    clients: {
      allowedCidrs: clients.allowedCidrs,
      port: clients.port ?? DEFAULT_PORT,
      tls: clients.tls === undefined ? undefined : { clientCertificates: 'required', ...clients.tls },
    },
    peerTls:
      environment.peerTls === undefined
        ? undefined
        : { ...environment.peerTls, name: `${name}.brokers.millrace.internal` },
    scaling: {
      minPerZone: scaling.minPerZone ?? slotsPerZone,
      maxPerZone: scaling.maxPerZone ?? slotsPerZone,
      schedule: scaling.schedule ?? [],
      busyPercent: scaling.busyPercent,
    },
    alarmTopicArn: environment.alarms?.topicArn,
    tags: environment.tags ?? {},
    permissionsBoundaryArn: environment.permissionsBoundaryArn,
    brokerSettings: environment.brokerSettings ?? {},
  };
}

/** A slot of the cluster: a node id, its zone, and with `block-shared` its volume. */
export interface Slot {
  readonly nodeId: number;
  readonly zone: string;
}

/** Node ids 1 to n, zone by zone. More slots per zone would renumber: they are counted by zone from fixed bases. */
export function slotsOf({
  zones,
  slotsPerZone,
}: Pick<ResolvedEnvironment, 'zones' | 'slotsPerZone'>): Slot[] {
  return zones.flatMap((zone, at) =>
    Array.from({ length: slotsPerZone }, (_, n) => ({ nodeId: at * NODE_IDS_PER_ZONE + n + 1, zone })),
  );
}

/** Of each zone, whatever number of slots it has: a slot that is added changes no other slot's id. */
export const NODE_IDS_PER_ZONE = 100;
