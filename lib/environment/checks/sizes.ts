import { FAMILIES, LIMITS, SIZES, walMibPerSecond } from '../limits.ts';
import type { Checks } from './checks.ts';

export function checkInstances({ environment, report, within }: Checks): void {
  const { architecture = 'arm64', types, onDemandBasePerZone, spotPercent } = environment.instances ?? {};
  within('OnDemandBase', 'instances.onDemandBasePerZone', onDemandBasePerZone, LIMITS.onDemandBasePerZone);
  within('SpotPercent', 'instances.spotPercent', spotPercent, LIMITS.spotPercent);
  if (types === undefined) return;
  within('InstanceTypeCount', 'instances.types', types.length, LIMITS.instanceTypes);
  const families = Object.entries(FAMILIES).filter(([, family]) => family.architecture === architecture);
  for (const type of types) {
    const [family = '', size = ''] = type.split('.');
    if (FAMILIES[family]?.architecture === architecture && SIZES.includes(size)) continue;
    const names = families.map(([name]) => name).join(', ');
    report(
      'InstanceType',
      'instances.types',
      type,
      `${architecture} on Nitro: ${names}; ${SIZES.join(', ')}`,
      'choose another type or the other architecture',
    );
  }
}

/** Uploads begin after 30 s at the latest. */
const MIN_RING_SECONDS = 30;

export function checkWal({ environment, report, within }: Checks): void {
  const { kind = 'block-shared', sizeGiB = 8, iops = 500 } = environment.wal ?? {};
  if (kind === 'object') return;
  within('WalSize', 'wal.sizeGiB', sizeGiB, LIMITS.walSizeGiB);
  within('WalIops', 'wal.iops', iops, LIMITS.walIops);
  const most = sizeGiB * LIMITS.walIopsPerGiB.max;
  if (iops > most) {
    const enough = Math.ceil(iops / LIMITS.walIopsPerGiB.max);
    report(
      'WalIopsRatio',
      'wal.iops',
      iops,
      `up to ${most} for ${sizeGiB} GiB`,
      `raise sizeGiB to ${enough} or lower iops to ${most}`,
    );
  }
  // A ring must hold what is written while uploads catch up, or a store that stalls for a moment stops producers.
  const ringSeconds = (sizeGiB * 1024) / walMibPerSecond(iops);
  if (ringSeconds < MIN_RING_SECONDS) {
    const enough = Math.ceil((walMibPerSecond(iops) * MIN_RING_SECONDS) / 1024);
    report(
      'WalRing',
      'wal.sizeGiB',
      sizeGiB,
      `at least ${MIN_RING_SECONDS} s of writing at ${iops} IOPS`,
      `raise sizeGiB to ${enough}`,
    );
  }
}

export function checkScaling({ environment, report, within }: Checks): void {
  const slots = environment.slotsPerZone ?? 2;
  const { minPerZone = slots, maxPerZone = slots, schedule = [], busyPercent } = environment.scaling ?? {};
  const each = { min: 1, max: slots, unit: 'instances', source: 'kit: at most one for each slot' };
  within('ScalingMin', 'scaling.minPerZone', minPerZone, each);
  within('ScalingMax', 'scaling.maxPerZone', maxPerZone, each);
  within('ScalingBusy', 'scaling.busyPercent', busyPercent, LIMITS.busyPercent);
  if (minPerZone > maxPerZone) {
    report(
      'ScalingOrder',
      'scaling.minPerZone',
      minPerZone,
      `up to maxPerZone, ${maxPerZone}`,
      'lower one or raise the other',
    );
  }
  for (const { name, cron, perZone } of schedule) {
    within('ScheduledSize', `scaling.schedule.${name}`, perZone, {
      ...each,
      min: minPerZone,
      max: maxPerZone,
    });
    if (cron.trim().split(/\s+/).length !== 5) {
      report(
        'ScheduledCron',
        `scaling.schedule.${name}`,
        cron,
        'five fields: minute hour day month weekday',
        'such as "0 6 * * 1-5"',
      );
    }
  }
}
