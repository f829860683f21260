import {
  DescribeAvailabilityZonesCommand,
  DescribeSubnetsCommand,
  EC2Client,
  paginateDescribeInstanceTypeOfferings,
} from '@aws-sdk/client-ec2';
import { GetHostedZoneCommand, Route53Client } from '@aws-sdk/client-route-53';
import { GetBucketVersioningCommand, HeadBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts';
import type { ResolvedEnvironment } from '../lib/environment/resolve.ts';
import { defaultKey } from './doctor-encryption.ts';
import { quotas } from './doctor-quotas.ts';
import type { Answer, Finding } from './finding.ts';

interface Question {
  readonly check: string;
  readonly ask: () => Promise<readonly Answer[]>;
}

/** Asks with the caller's credentials, reads only, and goes on when an answer is refused. `AWS_ENDPOINT_URL` is honoured. */
export async function onlineFindings(environment: ResolvedEnvironment): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { check, ask } of questions(environment)) {
    let answers: readonly Answer[];
    try {
      answers = await ask();
    } catch (error) {
      const name = error instanceof Error ? error.name : 'Error';
      answers = [['problem', `could not be asked: ${name}: ${error instanceof Error ? error.message : ''}`]];
    }
    findings.push(...answers.map(([level, says]) => ({ level, check, says })));
    // Without an identity every other question fails in the same way.
    if (check === 'identity' && answers.some(([level]) => level === 'problem')) break;
  }
  return findings;
}

function questions(environment: ResolvedEnvironment): Question[] {
  const options = { region: environment.region };
  const ec2 = new EC2Client(options);
  const { network, dns, recovery } = environment;
  return [
    { check: 'identity', ask: () => identity(new STSClient(options), environment) },
    { check: 'zones', ask: () => zones(ec2, environment) },
    { check: 'instances', ask: () => offerings(ec2, environment) },
    { check: 'quotas', ask: () => quotas(environment) },
    { check: 'encryption', ask: () => defaultKey(ec2) },
    {
      check: 'bucket',
      ask: () => bucket(new S3Client(options), environment.data),
    },
    ...(recovery === undefined
      ? []
      : [
          {
            check: 'replica',
            ask: () =>
              bucket(new S3Client({ region: recovery.region }), {
                bucketName: recovery.bucketName,
                generation: 0,
              }),
          },
        ]),
    { check: 'bootstrap', ask: () => bootstrapped(environment.account, environment.region) },
    ...(recovery === undefined
      ? []
      : [{ check: 'bootstrap', ask: () => bootstrapped(environment.account, recovery.region) }]),
    ...('vpcId' in network ? [{ check: 'network', ask: () => subnets(ec2, environment) }] : []),
    ...(dns.hostedZoneId === undefined
      ? []
      : [{ check: 'dns', ask: () => hostedZone(new Route53Client(options), environment) }]),
  ];
}

async function identity(client: STSClient, { account }: ResolvedEnvironment): Promise<Answer[]> {
  const { Account, Arn } = await client.send(new GetCallerIdentityCommand());
  return Account === account
    ? [['ok', `${Arn}`]]
    : [['problem', `you are in account ${Account}, the environment is ${account}'s: change AWS_PROFILE`]];
}

async function zones(client: EC2Client, environment: ResolvedEnvironment): Promise<Answer[]> {
  const { AvailabilityZones = [] } = await client.send(new DescribeAvailabilityZonesCommand());
  const available = AvailabilityZones.filter(({ State }) => State === 'available').map((z) => z.ZoneName);
  const missing = environment.zones.filter((zone) => !available.includes(zone));
  return missing.length === 0
    ? [['ok', environment.zones.join(', ')]]
    : [['problem', `${missing.join(', ')} cannot be used here, allowed ${available.join(', ')}`]];
}

async function offerings(client: EC2Client, { instances, zones }: ResolvedEnvironment): Promise<Answer[]> {
  const offered = new Set<string>();
  const pages = paginateDescribeInstanceTypeOfferings(
    { client },
    {
      LocationType: 'availability-zone',
      Filters: [
        { Name: 'instance-type', Values: [...instances.types] },
        { Name: 'location', Values: [...zones] },
      ],
    },
  );
  for await (const { InstanceTypeOfferings = [] } of pages) {
    for (const { Location, InstanceType } of InstanceTypeOfferings)
      offered.add(`${Location} ${InstanceType}`);
  }
  return zones.map((zone): Answer => {
    const missing = instances.types.filter((type) => !offered.has(`${zone} ${type}`));
    if (missing.length === 0) return ['ok', `${zone} has ${instances.types.join(', ')}`];
    const level = missing.length === instances.types.length ? 'problem' : 'warning';
    return [level, `${zone} does not have ${missing.join(', ')}: choose another type or zone`];
  });
}

async function bucket(
  client: S3Client,
  { bucketName: Bucket, generation }: Pick<ResolvedEnvironment['data'], 'bucketName' | 'generation'>,
): Promise<Answer[]> {
  try {
    await client.send(new HeadBucketCommand({ Bucket }));
  } catch (error) {
    switch (statusOf(error)) {
      case 404:
        return generation === 0
          ? [['ok', `${Bucket} is free, and will be made`]]
          : [['problem', `${Bucket} does not exist, and data.promoted says that it does`]];
      case 403:
        return [['problem', `${Bucket} belongs to somebody else, or to you without access: data.bucketName`]];
      default:
        throw error;
    }
  }
  const { Status } = await client.send(new GetBucketVersioningCommand({ Bucket }));
  return Status === 'Enabled'
    ? [['ok', `${Bucket} exists, versioned`]]
    : [
        [
          'problem',
          `${Bucket} exists and is not versioned: its stack did not make it, choose data.bucketName`,
        ],
      ];
}

/** The bucket that `cdk bootstrap` makes under its standard qualifier. */
async function bootstrapped(account: string, region: string): Promise<Answer[]> {
  const Bucket = `cdk-hnb659fds-assets-${account}-${region}`;
  try {
    await new S3Client({ region }).send(new HeadBucketCommand({ Bucket }));
    return [['ok', region]];
  } catch (error) {
    if (statusOf(error) !== 404) throw error;
    return [['problem', `${region} is not bootstrapped: npx cdk bootstrap aws://${account}/${region}`]];
  }
}

async function subnets(client: EC2Client, { network, zones }: ResolvedEnvironment): Promise<Answer[]> {
  if (!('vpcId' in network)) return [];
  const SubnetIds = Object.values(network.subnetIds);
  const { Subnets = [] } = await client.send(new DescribeSubnetsCommand({ SubnetIds }));
  return zones.map((zone): Answer => {
    const id = network.subnetIds[zone];
    const found = Subnets.find(({ SubnetId }) => SubnetId === id);
    if (found === undefined) return ['problem', `${id} of ${zone} does not exist`];
    const { AvailabilityZone, VpcId } = found;
    return AvailabilityZone === zone && VpcId === network.vpcId
      ? ['ok', `${id} is in ${zone}`]
      : ['problem', `${id} is in ${AvailabilityZone} of ${VpcId}, expected ${zone} of ${network.vpcId}`];
  });
}

async function hostedZone(client: Route53Client, { dns, network }: ResolvedEnvironment): Promise<Answer[]> {
  const { domain, hostedZoneId: Id } = dns;
  const { HostedZone, VPCs = [] } = await client.send(new GetHostedZoneCommand({ Id }));
  const name = HostedZone?.Name?.replace(/\.$/, '') ?? '';
  if (domain !== name && !domain.endsWith(`.${name}`)) {
    return [['problem', `${domain} is not within ${name}, the zone of ${Id}`]];
  }
  const within: Answer = ['ok', `${domain} is within ${name}`];
  if (HostedZone?.Config?.PrivateZone !== true) return [within];
  // Brokers find each other by these names: a private zone answers in the networks it is associated with and nowhere else.
  const how = `aws route53 associate-vpc-with-hosted-zone --hosted-zone-id ${Id}`;
  if (!('vpcId' in network)) {
    return [within, ['warning', `${name} is private and the VPC not made yet: once it is, ${how}`]];
  }
  const isAssociated = VPCs.some(({ VPCId }) => VPCId === network.vpcId);
  return [
    within,
    isAssociated
      ? ['ok', `${name} is private, and answers in ${network.vpcId}`]
      : ['problem', `${name} is private, and does not answer in ${network.vpcId}: ${how}`],
  ];
}

function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined;
  return (error.$metadata as { httpStatusCode?: number }).httpStatusCode;
}
