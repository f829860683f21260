import type { Architecture } from './environment.ts';

export interface Limit {
  readonly min: number;
  readonly max: number;
  readonly unit: string;
  /** The page the figure comes from. */
  readonly source: string;
}

/** What AWS and the kit allow. One table feeds the validator, the page docs/kit.md and the cost model. */
export const LIMITS = {
  zones: { min: 3, max: 6, unit: 'zones', source: 'kit: a cluster spans three zones' },
  // Every instance of a zone attaches every volume of the zone ahead of time, and a volume has 16 attachments.
  slotsPerZone: { min: 1, max: 16, unit: 'slots', source: 'EBS: Multi-Attach, 16 instances a volume' },
  walSizeGiB: { min: 4, max: 65_536, unit: 'GiB', source: 'EBS: io2 Block Express' },
  walIops: { min: 100, max: 256_000, unit: 'IOPS', source: 'EBS: io2 Block Express' },
  walIopsPerGiB: { min: 0, max: 1_000, unit: 'IOPS/GiB', source: 'EBS: io2 Block Express' },
  onDemandBasePerZone: { min: 0, max: 16, unit: 'instances', source: 'kit: at most one for each slot' },
  spotPercent: { min: 0, max: 100, unit: '%', source: 'EC2 Auto Scaling: InstancesDistribution' },
  noncurrentDays: { min: 1, max: 365, unit: 'days', source: 'kit: versions are the way back from a mistake' },
  port: { min: 1_024, max: 65_535, unit: '', source: 'kit: brokers run unprivileged' },
  clientRanges: { min: 1, max: 50, unit: 'ranges', source: 'VPC: 60 rules of a security group' },
  busyPercent: { min: 20, max: 90, unit: '%', source: 'kit: less oscillates, more comes too late' },
  instanceTypes: { min: 1, max: 20, unit: 'types', source: 'EC2 Auto Scaling: launch template overrides' },
  tags: { min: 0, max: 40, unit: 'tags', source: 'AWS: 50 tags a resource, ten are ours' },
} as const satisfies Record<string, Limit>;

/** MiB/s that one provisioned operation per second carries, up to 256 KiB each (EBS: io2 Block Express). */
export const IO2_MIB_PER_SECOND_PER_IOPS = 0.256;
export const IO2_MIB_PER_SECOND_MAX = 4_000;

/** What a volume with so many provisioned IOPS carries, MiB/s. */
export function walMibPerSecond(iops: number): number {
  return Math.min(iops * IO2_MIB_PER_SECOND_PER_IOPS, IO2_MIB_PER_SECOND_MAX);
}

interface Family {
  readonly architecture: Architecture;
  /** Burstable CPU: a loaded broker runs out of credits. */
  readonly burstable: boolean;
}

/** Nitro families: io2 Multi-Attach and NVMe reservations need Nitro (EBS: Multi-Attach). */
export const FAMILIES: Readonly<Record<string, Family>> = {
  t4g: { architecture: 'arm64', burstable: true },
  c7g: { architecture: 'arm64', burstable: false },
  c8g: { architecture: 'arm64', burstable: false },
  m7g: { architecture: 'arm64', burstable: false },
  m8g: { architecture: 'arm64', burstable: false },
  r7g: { architecture: 'arm64', burstable: false },
  r8g: { architecture: 'arm64', burstable: false },
  r8gb: { architecture: 'arm64', burstable: false },
  t3: { architecture: 'x86_64', burstable: true },
  c7i: { architecture: 'x86_64', burstable: false },
  m7i: { architecture: 'x86_64', burstable: false },
  r7i: { architecture: 'x86_64', burstable: false },
};

/** Of an instance: the system and the bundle, nothing that is kept. */
export const ROOT_VOLUME_GIB = 8;

/** vCPUs of the sizes that one broker process, which is one thread, makes use of. */
const VCPUS_OF_SIZE = { medium: 1, large: 2, xlarge: 4, '2xlarge': 8, '4xlarge': 16 } as const;

export const SIZES: readonly string[] = Object.keys(VCPUS_OF_SIZE);

/** vCPUs of an instance type that the kit allows; 0 for any other. */
export function vcpusOf(type: string): number {
  const [family = '', size = ''] = type.split('.');
  // EC2: instance types; t3 and t4g have two from the smallest size on.
  if (size === 'medium' && FAMILIES[family]?.burstable === true) return 2;
  return Object.entries(VCPUS_OF_SIZE).find(([name]) => name === size)?.[1] ?? 0;
}
