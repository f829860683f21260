import { ROOT_VOLUME_GIB } from '../environment/limits.ts';
import type { ResolvedEnvironment } from '../environment/resolve.ts';
import { type CostLine, costLine, totalOf } from './cost-line.ts';
import { clientLines } from './clients.ts';
import { kafkaLines } from './kafka.ts';
import { instancePrice, PRICES, type Price, spotPrice, STORAGE_CLASSES } from './prices.ts';
import { HOURS, type Load, SECONDS, traffic } from './load.ts';

export interface CostEstimate {
  readonly lines: readonly CostLine[];
  readonly totalUsd: number;
  /** The same load on Apache Kafka: three replicas on gp3 volumes, instances on demand. */
  readonly kafkaLines: readonly CostLine[];
  readonly kafkaTotalUsd: number;
  /** What all WAL volumes together would cost with other IOPS. Empty without volumes. */
  readonly walChoices: readonly { readonly iops: number; readonly monthlyUsd: number }[];
}

/** How the broker uses the bucket. */
export interface Assumptions {
  /** Of an object of records; the broker uploads earlier when this much has not come together in `uploadIntervalMs`. */
  readonly objectMiB: number;
  readonly uploadIntervalMs: number;
  /** How many times a byte is written again by compaction into objects of one partition each. */
  readonly rewrites: number;
  /** Of a broker whose WAL is in the bucket: writes per second under load. */
  readonly walObjectsPerSecond: number;
  /** Each broker looks at the controller's lease this often. */
  readonly electionPollMs: number;
}

/** The defaults of the broker (a test holds sizes and intervals against its options); rewrites and WAL objects are typical. */
export const BROKER_HABITS: Assumptions = {
  objectMiB: 16,
  uploadIntervalMs: 30_000,
  rewrites: 1,
  walObjectsPerSecond: 4,
  electionPollMs: 1_500,
};

const WAL_CHOICES_IOPS = [100, 500, 1_000, 3_000, 10_000];

/** What the environment costs in a month of 30 days under that load. An estimate: prices are us-east-1's. */
export function estimateCost(
  environment: ResolvedEnvironment,
  load: Load,
  assumptions: Assumptions = BROKER_HABITS,
): CostEstimate {
  const lines = [
    ...computeLines(environment),
    ...walLines(environment, environment.wal.iops),
    ...bucketLines(environment, load, assumptions),
    ...clientLines(environment, load),
    ...replicationLines(environment, load, assumptions),
    ...networkLines(environment),
    ...watchingLines(environment),
  ];
  const kafka = kafkaLines(environment, load);
  const hasVolumes = environment.wal.kind === 'block-shared';
  return {
    lines,
    totalUsd: totalOf(lines),
    kafkaLines: kafka,
    kafkaTotalUsd: totalOf(kafka),
    walChoices: !hasVolumes
      ? []
      : WAL_CHOICES_IOPS.map((iops) => ({ iops, monthlyUsd: totalOf(walLines(environment, iops)) })),
  };
}

/** As many as may run: a schedule that sends some home makes it cheaper. */
function computeLines({ zones, instances, scaling }: ResolvedEnvironment): CostLine[] {
  const [type = ''] = instances.types;
  const price = instancePrice(type);
  if (price === undefined) return [];
  const base = Math.min(instances.onDemandBasePerZone, scaling.maxPerZone);
  const spot = (scaling.maxPerZone - base) * (instances.spotPercent / 100);
  const onDemand = scaling.maxPerZone - spot;
  const all = (item: string, each: Price, perZone: number): CostLine[] =>
    perZone === 0 ? [] : [costLine(item, each, [zones.length, 'zones'], [perZone, type], [HOURS, 'hours'])];
  return [
    ...all('instances, on demand', price, onDemand),
    ...all('instances, spot', spotPrice(price), spot),
    costLine(
      'root volumes, gp3',
      PRICES.gp3Storage,
      [zones.length * scaling.maxPerZone, 'instances'],
      [ROOT_VOLUME_GIB, 'GB'],
    ),
  ];
}

function walLines(environment: ResolvedEnvironment, iops: number): CostLine[] {
  const { wal, zones, slotsPerZone } = environment;
  if (wal.kind !== 'block-shared') return [];
  const slots = zones.length * slotsPerZone;
  const tiers: readonly [Price, from: number, to: number][] = [
    [PRICES.io2Iops, 0, 32_000],
    [PRICES.io2IopsAbove32k, 32_000, 64_000],
    [PRICES.io2IopsAbove64k, 64_000, Infinity],
  ];
  return [
    costLine('WAL volumes, io2 space', PRICES.io2Storage, [slots, 'slots'], [wal.sizeGiB, 'GB']),
    ...tiers
      .filter(([, from]) => iops > from)
      .map(([price, from, to]) =>
        costLine('WAL volumes, io2 IOPS', price, [slots, 'slots'], [Math.min(iops, to) - from, 'IOPS']),
      ),
  ];
}

function bucketLines(environment: ResolvedEnvironment, load: Load, assumptions: Assumptions): CostLine[] {
  const { storage, put, get } = STORAGE_CLASSES.STANDARD;
  const { perDayGb } = traffic(load);
  const { noncurrentDays } = environment.data;
  const { rewrites } = assumptions;
  const brokers = environment.zones.length * environment.scaling.maxPerZone;
  const puts = putsOf(environment, load, assumptions);
  return [
    costLine('S3 storage', storage, [perDayGb, 'GB a day'], [load.retentionDays, 'days']),
    costLine(
      'S3 storage, deleted versions',
      storage,
      [perDayGb, 'GB a day'],
      [1 + rewrites, 'versions'],
      [noncurrentDays, 'days'],
    ),
    costLine('S3 writes, records', put, [puts, 'requests']),
    ...(rewrites === 0
      ? []
      : [
          costLine('S3 writes, compaction', put, [puts, 'objects'], [rewrites, 'times']),
          costLine('S3 reads, compaction', get, [puts, 'objects'], [rewrites, 'times']),
        ]),
    ...(environment.wal.kind === 'object'
      ? [
          costLine(
            'S3 writes, WAL',
            put,
            [brokers, 'brokers'],
            [assumptions.walObjectsPerSecond, 'a second'],
            [SECONDS, 'seconds'],
          ),
        ]
      : []),
    costLine(
      'S3 reads, controller lease',
      get,
      [brokers, 'brokers'],
      [1_000 / assumptions.electionPollMs, 'a second'],
      [SECONDS, 'seconds'],
    ),
  ];
}

/** Objects of records in a month: by size under load, by age without. */
function putsOf(environment: ResolvedEnvironment, load: Load, assumptions: Assumptions): number {
  const brokers = environment.zones.length * environment.scaling.maxPerZone;
  const bySize = (load.writeMiBPerSecond * SECONDS) / assumptions.objectMiB;
  const byAge = load.writeMiBPerSecond === 0 ? 0 : (brokers * SECONDS * 1_000) / assumptions.uploadIntervalMs;
  return Math.max(bySize, byAge);
}

function replicationLines(
  environment: ResolvedEnvironment,
  load: Load,
  assumptions: Assumptions,
): CostLine[] {
  const { recovery, data, region } = environment;
  if (recovery === undefined) return [];
  const { perDayGb, perMonthGb } = traffic(load);
  const { storage, put, minDays } = STORAGE_CLASSES[recovery.storageClass];
  const { rewrites } = assumptions;
  const versions: readonly [number, string] = [1 + rewrites, 'versions'];
  const isNear = [region, recovery.region].sort().join() === 'us-east-1,us-east-2';
  // A version that was rewritten stays for the noncurrent days, the last one for the retention as well.
  const days =
    Math.max(minDays, load.retentionDays + data.noncurrentDays) +
    rewrites * Math.max(minDays, data.noncurrentDays);
  return [
    costLine(
      `replication to ${recovery.region}`,
      isNear ? PRICES.nearRegion : PRICES.crossRegion,
      [perMonthGb, 'GB'],
      versions,
    ),
    costLine('replication, writes', put, [putsOf(environment, load, assumptions), 'objects'], versions),
    costLine(
      `replica, ${recovery.storageClass}${minDays > 0 ? ` (billed ${minDays} days at least)` : ''}`,
      storage,
      [perDayGb, 'GB a day'],
      [days, 'days'],
    ),
    ...(recovery.replicationTimeControl
      ? [costLine('replication time control', PRICES.replicationTimeControl, [perMonthGb, 'GB'], versions)]
      : []),
  ];
}

function networkLines({ zones, network, dns }: ResolvedEnvironment): CostLine[] {
  const perZone: readonly [number, string] = [zones.length, 'zones'];
  const hours: readonly [number, string] = [HOURS, 'hours'];
  return [
    costLine('load balancer (bootstrap only)', PRICES.loadBalancer, hours),
    costLine('load balancer, capacity', PRICES.loadBalancerCapacity, [1, 'NLCU'], hours),
    ...('vpcId' in network
      ? []
      : [
          costLine(
            'endpoints (EC2, Auto Scaling)',
            PRICES.interfaceEndpoint,
            [2, 'services'],
            perZone,
            hours,
          ),
          costLine('NAT gateways', PRICES.natGateway, perZone, hours),
          costLine('NAT gateways, addresses', PRICES.publicAddress, perZone, hours),
        ]),
    ...(dns.hostedZoneId === undefined ? [costLine('hosted zone', PRICES.hostedZone, [1, 'zone'])] : []),
  ];
}

function watchingLines(environment: ResolvedEnvironment): CostLine[] {
  const { zones, scaling, slotsPerZone, wal, recovery, clients, peerTls } = environment;
  // As observability and recovery stacks make them, which a test counts.
  const hasCertificates = clients.tls !== undefined || peerTls !== undefined;
  const alarms =
    (hasCertificates ? 3 : 2) * zones.length +
    1 +
    (wal.kind === 'block-shared' ? zones.length * slotsPerZone : 0) +
    (recovery === undefined ? 0 : 2);
  const metrics = hasCertificates ? 3 : 2;
  return [
    costLine('detailed metrics', PRICES.instanceMetrics, [zones.length * scaling.maxPerZone, 'instances']),
    costLine('metrics of brokers', PRICES.metric, [zones.length, 'zones'], [metrics, 'metrics']),
    costLine('alarms', PRICES.alarm, [alarms, 'alarms']),
  ];
}
