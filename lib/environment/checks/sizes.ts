import { FAMILIES, LIMITS, SIZES, walMibPerSecond } from '../limits.ts';
import type { Checks } from './checks.ts';

export function checkInstances({ environment, report, within, matches }: Checks): void {
  const {
    architecture = 'arm64',
    types,
    imageId,
    onDemandBasePerZone,
    spotPercent,
  } = environment.instances ?? {};
  within('OnDemandBase', 'instances.onDemandBasePerZone', onDemandBasePerZone, LIMITS.onDemandBasePerZone);
  within('SpotPercent', 'instances.spotPercent', spotPercent, LIMITS.spotPercent);
  if (imageId !== undefined) {
    matches(
      'ImageId',
      'instances.imageId',
      imageId,
      /^ami-[0-9a-f]{8,17}$/,
      'ami- and hexadecimal digits',
      'aws ssm get-parameter --name /aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-arm64',
    );
  }
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

const CRON_FIELDS = 5;
/** Numbers, names of months and days, ranges, lists and steps. */
const CRON_FIELD = /^(\*|\d+|[A-Za-z]{3})([-,/](\*|\d+|[A-Za-z]{3}))*$/;

export function checkScaling({ environment, report, within, matches }: Checks): void {
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
  for (const [at, { name, cron, perZone }] of schedule.entries()) {
    const path = `scaling.schedule.${name}`;
    matches(
      'ScheduledName',
      `scaling.schedule[${at}].name`,
      name,
      /^[\w.-]{1,40}$/,
      'letters, digits, ., _ and -, up to 40',
      'choose another name',
    );
    if (schedule.findIndex((other) => other.name === name) < at) {
      report('ScheduledTwice', path, name, 'each name once', 'rename one of them');
    }
    within('ScheduledSize', path, perZone, { ...each, min: minPerZone, max: maxPerZone });
    const fields = cron.trim().split(/\s+/);
    if (fields.length !== CRON_FIELDS || !fields.every((field) => CRON_FIELD.test(field))) {
      report(
        'ScheduledCron',
        path,
        cron,
        'five fields: minute hour day month weekday',
        'such as "0 6 * * 1-5"',
      );
    }
  }
}
