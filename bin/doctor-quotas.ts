import {
  paginateListAWSDefaultServiceQuotas,
  paginateListServiceQuotas,
  ServiceQuotasClient,
} from '@aws-sdk/client-service-quotas';
import { vcpusOf } from '../lib/environment/limits.ts';
import type { ResolvedEnvironment } from '../lib/environment/resolve.ts';
import type { Answer } from './finding.ts';

interface Need {
  readonly service: 'ebs' | 'ec2' | 'vpc';
  /** By name: the codes are nowhere documented as stable. */
  readonly name: RegExp;
  readonly need: number;
  readonly unit: string;
}

/** What the environment needs at its largest, and what the account may have. */
export async function quotas(environment: ResolvedEnvironment): Promise<Answer[]> {
  const client = new ServiceQuotasClient({ region: environment.region });
  const needs = needsOf(environment);
  const values = new Map<string, ReadonlyMap<string, number>>();
  for (const service of new Set(needs.map((one) => one.service))) {
    values.set(service, await quotasOf(client, service));
  }
  return needs.map(({ service, name, need, unit }): Answer => {
    const [found] = [...(values.get(service) ?? [])].filter(([one]) => name.test(one));
    if (found === undefined) {
      return ['warning', `no quota of ${service} matches ${name.source}: look for it yourself`];
    }
    const [quota, value] = found;
    const text = `${quota}: ${value} ${unit}, needed ${Number(need.toFixed(2))} beside what runs already`;
    return value >= need ? ['ok', text] : ['problem', `${text}: ask for more in Service Quotas`];
  });
}

function needsOf(environment: ResolvedEnvironment): Need[] {
  const { zones, slotsPerZone, wal, instances, scaling, network } = environment;
  const slots = wal.kind === 'block-shared' ? zones.length * slotsPerZone : 0;
  // Only the base and the share above it that is not spot run on demand, as EC2 Auto Scaling divides a group.
  const base = Math.min(instances.onDemandBasePerZone, scaling.maxPerZone);
  const spot = Math.floor(((scaling.maxPerZone - base) * instances.spotPercent) / 100);
  const vcpus = zones.length * Math.max(...instances.types.map(vcpusOf));
  const needs: Need[] = [
    {
      service: 'ebs',
      name: /^IOPS for Provisioned IOPS SSD \(io2\)/,
      need: slots * wal.iops,
      unit: 'IOPS',
    },
    {
      service: 'ebs',
      name: /^Storage for Provisioned IOPS SSD \(io2\)/,
      need: (slots * wal.sizeGiB) / 1_024,
      unit: 'TiB',
    },
    { service: 'ec2', name: /^All Standard .*Spot Instance Requests/, need: vcpus * spot, unit: 'vCPUs' },
    {
      service: 'ec2',
      name: /^Running On-Demand Standard/,
      need: vcpus * (scaling.maxPerZone - spot),
      unit: 'vCPUs',
    },
    // A VPC of our own has a NAT gateway in each zone, and each of them an address.
    ...('vpcId' in network
      ? []
      : [
          { service: 'vpc', name: /^VPCs per Region$/, need: 1, unit: 'VPCs' } as const,
          { service: 'ec2', name: /^EC2-VPC Elastic IPs$/, need: zones.length, unit: 'addresses' } as const,
        ]),
  ];
  return needs.filter(({ need }) => need > 0);
}

/** The applied values, and the defaults of those for which Service Quotas tells no applied one (ListServiceQuotas). */
async function quotasOf(client: ServiceQuotasClient, ServiceCode: string): Promise<Map<string, number>> {
  const values = new Map<string, number>();
  for (const pages of [
    paginateListAWSDefaultServiceQuotas({ client }, { ServiceCode }),
    paginateListServiceQuotas({ client }, { ServiceCode }),
  ]) {
    for await (const { Quotas = [] } of pages) {
      for (const { QuotaName, Value } of Quotas) {
        if (QuotaName !== undefined && Value !== undefined) values.set(QuotaName, Value);
      }
    }
  }
  return values;
}
