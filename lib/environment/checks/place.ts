import { LIMITS } from '../limits.ts';
import { type Checks, REGION } from './checks.ts';

/** Who and where the cluster is. */
export function checkPlace({ environment, report, within, matches }: Checks): void {
  const { name, account, region, zones, slotsPerZone } = environment;
  matches(
    'Name',
    'name',
    name,
    /^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$/,
    'a to z, 0 to 9 and -, up to 20, a letter first and no - last',
    'choose another name',
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
