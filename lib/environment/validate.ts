import type { Environment, ExistingNetwork, TlsOptions } from './environment.ts';
import { FAMILIES, LIMITS, type Limit, SIZES, walMibPerSecond } from './limits.ts';

/** One thing that is wrong with an environment. */
export interface Problem {
  /** Stable, for tests and for searching. */
  readonly code: string;
  /** Of the field, such as `wal.iops`. */
  readonly path: string;
  readonly got: string;
  readonly allowed: string;
  readonly fix: string;
}

/** Says all that is wrong at once, a line each. */
export class InvalidEnvironmentError extends Error {
  readonly code = 'INVALID_ENVIRONMENT';
  readonly problems: readonly Problem[];

  constructor(name: string, problems: readonly Problem[]) {
    super([`environment "${name}" cannot be used:`, ...problems.map((one) => `  ${textOf(one)}`)].join('\n'));
    this.name = 'InvalidEnvironmentError';
    this.problems = problems;
  }
}

export function textOf({ code, path, got, allowed, fix }: Problem): string {
  return `${code}: ${path} is ${got}, allowed ${allowed}; ${fix}`;
}

/** Everything that is wrong; empty when the environment can be used. Defaults are taken as they are filled in later. */
export function problemsOf(environment: Environment): Problem[] {
  const found: Problem[] = [];
  const report = (code: string, path: string, got: unknown, allowed: string, fix: string): void => {
    found.push({ code, path, got: got === undefined ? 'missing' : JSON.stringify(got), allowed, fix });
  };
  const within = (code: string, path: string, value: number | undefined, limit: Limit): void => {
    if (value === undefined || (Number.isInteger(value) && value >= limit.min && value <= limit.max)) return;
    const unit = limit.unit === '' ? '' : ` ${limit.unit}`;
    report(code, path, value, `a whole number, ${limit.min} to ${limit.max}${unit}`, `see ${limit.source}`);
  };
  const matches = (
    code: string,
    path: string,
    value: string,
    pattern: RegExp,
    allowed: string,
    fix: string,
  ): void => {
    if (!pattern.test(value)) report(code, path, value, allowed, fix);
  };
  const checks = { environment, report, within, matches };
  checkPlace(checks);
  checkInstances(checks);
  checkWal(checks);
  checkData(checks);
  checkNetwork(checks);
  checkScaling(checks);
  if (environment.tier === 'prod') checkProd(checks);
  return found;
}

interface Checks {
  readonly environment: Environment;
  readonly report: (code: string, path: string, got: unknown, allowed: string, fix: string) => void;
  readonly within: (code: string, path: string, value: number | undefined, limit: Limit) => void;
  readonly matches: (
    code: string,
    path: string,
    value: string,
    pattern: RegExp,
    allowed: string,
    fix: string,
  ) => void;
}

const REGION = /^[a-z]{2}(-[a-z]+)+-\d$/;

function checkPlace({ environment, report, within, matches }: Checks): void {
  const { name, account, region, zones, slotsPerZone } = environment;
  matches(
    'Name',
    'name',
    name,
    /^[a-z][a-z0-9-]{0,19}$/,
    'a to z, 0 to 9 and -, up to 20, a letter first',
    'choose a shorter name',
  );
  matches(
    'Account',
    'account',
    account,
    /^\d{12}$/,
    'twelve digits',
    '`aws sts get-caller-identity` prints yours',
  );
  matches(
    'Region',
    'region',
    region,
    REGION,
    'a region such as eu-central-1',
    'see `aws ec2 describe-regions`',
  );
  within('ZoneCount', 'zones', zones.length, LIMITS.zones);
  if (new Set(zones).size < zones.length) {
    report('ZoneTwice', 'zones', zones, 'each zone once', 'name different zones');
  }
  for (const zone of zones) {
    if (zone.startsWith(region) && /^[a-z]$/.test(zone.slice(region.length))) continue;
    report(
      'ZoneName',
      'zones',
      zone,
      `${region} and a letter`,
      '`aws ec2 describe-availability-zones` lists them',
    );
  }
  within('SlotsPerZone', 'slotsPerZone', slotsPerZone, LIMITS.slotsPerZone);
  const tags = Object.keys(environment.tags ?? {});
  within('TagCount', 'tags', tags.length, LIMITS.tags);
  for (const tag of tags) {
    if (!/^(aws|millrace):/i.test(tag)) continue;
    report('TagReserved', 'tags', tag, 'keys that do not begin with aws: or millrace:', 'rename the tag');
  }
  const boundary = environment.permissionsBoundaryArn;
  if (boundary !== undefined) {
    matches(
      'PermissionsBoundary',
      'permissionsBoundaryArn',
      boundary,
      /^arn:aws[a-z-]*:iam::(\d{12}|aws):policy\/.+$/,
      'the ARN of an IAM policy',
      'copy it from the IAM console',
    );
  }
}

function checkInstances({ environment, report, within }: Checks): void {
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

function checkWal({ environment, report, within }: Checks): void {
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

/** Uploads begin after 30 s at the latest. */
const MIN_RING_SECONDS = 30;

function checkData({ environment, report, within, matches }: Checks): void {
  const { name, region, data = {}, recovery, alarms } = environment;
  within('NoncurrentDays', 'data.noncurrentDays', data.noncurrentDays, LIMITS.noncurrentDays);
  if (data.bucketName !== undefined) {
    matches(
      'BucketName',
      'data.bucketName',
      data.bucketName,
      /^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/,
      '3 to 63 of a to z, 0 to 9 and -',
      'choose another name, or leave it out',
    );
  }
  if (data.removal === 'destroy' && data.confirmDestroy !== name) {
    report(
      'DestroyUnconfirmed',
      'data.confirmDestroy',
      data.confirmDestroy,
      JSON.stringify(name),
      'data goes with the stack only when both keys say so: write the name, or remove `removal`',
    );
  }
  if (data.promoted !== undefined) checkPromoted(data.promoted.generation, environment, report);
  if (recovery !== undefined) {
    matches(
      'RecoveryRegion',
      'recovery.region',
      recovery.region,
      REGION,
      'a region such as us-west-2',
      'see `aws ec2 describe-regions`',
    );
    if (recovery.region === region) {
      report(
        'RecoveryRegionSame',
        'recovery.region',
        recovery.region,
        'another region',
        'a copy in the same region is lost with it',
      );
    }
  }
  if (alarms !== undefined) {
    matches(
      'AlarmTopic',
      'alarms.topicArn',
      alarms.topicArn,
      new RegExp(`^arn:aws[a-z-]*:sns:${region}:\\d{12}:.+$`),
      `the ARN of an SNS topic in ${region}`,
      'make one there, or leave alarms out',
    );
  }
}

/** A bucket that another stack made: this one can name it and no more. */
function checkPromoted(generation: number, { data, recovery }: Environment, report: Checks['report']): void {
  if (!Number.isInteger(generation) || generation < 1) {
    report(
      'Generation',
      'data.promoted.generation',
      generation,
      'a whole number from 1 on',
      'the one that `millrace promote` said',
    );
  }
  if (data?.bucketName === undefined) {
    report('PromotedBucket', 'data.bucketName', undefined, 'the name of the promoted bucket', 'write it');
  }
  if (recovery !== undefined) {
    report(
      'PromotedRecovery',
      'recovery',
      recovery.region,
      'none with data.promoted',
      'the bucket belongs to the stack that made it: set its replication there or by hand',
    );
  }
}

const CIDR = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/;

function checkNetwork({ environment, report, within, matches }: Checks): void {
  const { network = {}, zones, dns, clients } = environment;
  if ('vpcId' in network) checkExisting(network, zones, report);
  else if (network.cidr !== undefined) {
    const [prefix] = cidrOf(network.cidr)?.slice(-1) ?? [];
    if (prefix === undefined || prefix < 16 || prefix > 20) {
      report('Cidr', 'network.cidr', network.cidr, 'an IPv4 range of /16 to /20', 'such as 10.60.0.0/16');
    }
  }
  if (dns !== undefined) {
    matches(
      'Domain',
      'dns.domain',
      dns.domain,
      /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,}$/,
      'a domain name in lower case',
      'such as kafka.example.com',
    );
  }
  within('Port', 'clients.port', clients.port, LIMITS.port);
  if (environment.peerTls !== undefined) {
    checkSecret('PeerTlsSecret', 'peerTls.secretArn', environment.peerTls.secretArn, environment, report);
  }
  if (clients.tls !== undefined) checkTls(clients.tls, environment, report);
  else if (clients.acceptPlaintext !== true) {
    report(
      'Plaintext',
      'clients.acceptPlaintext',
      clients.acceptPlaintext,
      'true, or clients.tls',
      'add clients.tls, or say that the network is trusted',
    );
  }
  if (clients.allowedCidrs.length === 0) {
    report(
      'NoClients',
      'clients.allowedCidrs',
      [],
      'at least one IPv4 range',
      'name the ranges of your clients, such as the VPC',
    );
  }
  for (const range of clients.allowedCidrs) {
    const parts = cidrOf(range);
    if (parts === undefined || (parts.at(-1) ?? 0) < 8) {
      report(
        'ClientRange',
        'clients.allowedCidrs',
        range,
        'an IPv4 range of /8 or smaller',
        'brokers without authentication must not be open to the world',
      );
    }
  }
}

function checkExisting(network: ExistingNetwork, zones: readonly string[], report: Checks['report']): void {
  if (!/^vpc-[0-9a-f]{8,17}$/.test(network.vpcId)) {
    report(
      'VpcId',
      'network.vpcId',
      network.vpcId,
      'vpc- and hexadecimal digits',
      '`aws ec2 describe-vpcs` lists them',
    );
  }
  if (cidrOf(network.vpcCidr) === undefined) {
    report(
      'VpcCidr',
      'network.vpcCidr',
      network.vpcCidr,
      'the IPv4 range of that VPC',
      '`aws ec2 describe-vpcs` tells it',
    );
  }
  for (const zone of zones) {
    if (/^subnet-[0-9a-f]{8,17}$/.test(network.subnetIds[zone] ?? '')) continue;
    report(
      'SubnetOfZone',
      `network.subnetIds.${zone}`,
      network.subnetIds[zone],
      'a private subnet of that zone',
      '`aws ec2 describe-subnets` lists them',
    );
  }
}

/** The four numbers and the prefix length; undefined when it is none. */
function cidrOf(text: string): number[] | undefined {
  const numbers = CIDR.exec(text)?.slice(1).map(Number);
  if (numbers === undefined) return undefined;
  const isValid = numbers.every((value, at) => value <= (at === 4 ? 32 : 255));
  return isValid ? numbers : undefined;
}

function checkScaling({ environment, report, within }: Checks): void {
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

function checkSecret(
  code: string,
  path: string,
  secretArn: string,
  { account, region }: Environment,
  report: Checks['report'],
): void {
  const [, where, owner] =
    /^arn:aws[a-z-]*:secretsmanager:([a-z0-9-]+):(\d{12}):secret:[\w/+=.@-]+$/.exec(secretArn) ?? [];
  if (where === region && owner === account) return;
  report(
    code,
    path,
    secretArn,
    `the full ARN of a secret in ${region} of ${account}`,
    'aws secretsmanager describe-secret --secret-id NAME --query ARN',
  );
}

function checkTls(
  { secretArn, clientCertificates }: TlsOptions,
  environment: Environment,
  report: Checks['report'],
): void {
  checkSecret('TlsSecret', 'clients.tls.secretArn', secretArn, environment, report);
  if (!['required', 'none', undefined].includes(clientCertificates)) {
    report(
      'TlsClients',
      'clients.tls.clientCertificates',
      clientCertificates,
      '"required" or "none"',
      'see TlsOptions',
    );
  }
}

function checkProd({ environment, report }: Checks): void {
  const { data, recovery, alarms, instances, slotsPerZone, clients } = environment;
  if (clients.tls === undefined) {
    report('ProdPlaintext', 'clients.tls', undefined, 'TLS in prod', 'add clients.tls: { secretArn }');
  }
  if (environment.peerTls === undefined) {
    report(
      'ProdPeerPlaintext',
      'peerTls',
      undefined,
      'TLS between brokers in prod',
      'add peerTls: { secretArn }',
    );
  }
  if (data?.removal === 'destroy') {
    report('ProdDestroy', 'data.removal', 'destroy', '"retain" in prod', 'remove `removal`');
  }
  if (recovery === undefined && data?.promoted === undefined) {
    report('ProdRecovery', 'recovery', undefined, 'a second region in prod', 'add recovery: { region }');
  }
  if (alarms === undefined) {
    report(
      'ProdAlarms',
      'alarms',
      undefined,
      'somebody who hears alarms in prod',
      'add alarms: { topicArn }',
    );
  }
  if (slotsPerZone === 1) {
    report(
      'ProdSlots',
      'slotsPerZone',
      1,
      'at least 2 in prod',
      'with one, a failed broker waits for its replacement instance',
    );
  }
  const types = instances?.types ?? [];
  for (const type of types) {
    if (FAMILIES[type.split('.')[0] ?? '']?.burstable !== true) continue;
    report(
      'ProdBurstable',
      'instances.types',
      type,
      'types that are not burstable in prod',
      'a loaded broker runs out of CPU credits: m7g.large and larger',
    );
  }
  if (
    types.length === 1 &&
    (instances?.onDemandBasePerZone ?? 0) === 0 &&
    (instances?.spotPercent ?? 100) > 0
  ) {
    report(
      'ProdSpotPool',
      'instances.types',
      types,
      'two types or more, or an on-demand base',
      'one spot pool that runs dry takes every broker',
    );
  }
}
