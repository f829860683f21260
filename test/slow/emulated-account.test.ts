import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { AutoScalingClient, DescribeAutoScalingGroupsCommand } from '@aws-sdk/client-auto-scaling';
import {
  CloudFormationClient,
  CreateStackCommand,
  DescribeStacksCommand,
  paginateListStackResources,
} from '@aws-sdk/client-cloudformation';
import {
  CreateVolumeCommand,
  type CreateVolumeCommandInput,
  EC2Client,
  RunInstancesCommand,
  type Tag,
  type TagSpecification,
} from '@aws-sdk/client-ec2';
import {
  CreateHostedZoneCommand,
  ListResourceRecordSetsCommand,
  Route53Client,
} from '@aws-sdk/client-route-53';
import { CreateBucketCommand, PutBucketVersioningCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { App, type Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { Ec2Volumes, Route53Names } from '../../broker-runtime/src/adapters/aws-cloud.ts';
import { onlineFindings } from '../../bin/doctor-online.ts';
import { environments } from '../../environments/index.ts';
import type { ExistingNetwork } from '../../lib/environment/environment.ts';
import { CLUSTER_TAG, NODE_ID_TAG } from '../../lib/instance-contract.ts';
import { Millrace } from '../../lib/millrace.ts';
import { runOk, run } from '../harness/command.ts';
import { Moto } from '../harness/moto.ts';
import { TempDir } from '../harness/temp-dir.ts';
import { instanceConfigOf } from '../harness/user-data.ts';

/**
 * The templates of `prod`, deployed to an emulated account as far as the emulator goes, and what our own code finds there.
 * The emulator knows no conditions of policies and no hooks that wait: those are in test/aws-model.
 */
const COMMAND = path.resolve(__dirname, '..', '..', 'bin', 'millrace.ts');
/** Its load balancers know HTTP alone, and refuse the listener. */
const REFUSED = new Set(['AWS::ElasticLoadBalancingV2::Listener']);
/** What moto 5.2.5 leaves out, or does as a part of something else. The rest has to be there. */
const NOT_EMULATED = new Set([
  'AWS::CDK::Metadata',
  'AWS::CloudWatch::Alarm',
  'AWS::FIS::ExperimentTemplate',
  'AWS::S3::BucketPolicy',
  'AWS::EC2::SecurityGroupEgress',
]);

interface Made {
  readonly stack: Stack;
  readonly region: string;
}

const dir = new TempDir();
let moto: Moto;
let made: Millrace;
const [region, recoveryRegion] = ['us-east-1', 'us-west-2'] as const;

beforeAll(async () => {
  const environment = environments['prod'];
  if (environment === undefined) throw new Error('no example prod');
  moto = await Moto.start(environment.account);
  Object.assign(process.env, moto.env);
  writeFileSync(dir.join('bundle.mjs'), '');
  made = new Millrace(new App({ outdir: dir.join('out') }), 'prod', {
    environment,
    bundleFile: dir.join('bundle.mjs'),
  });
  await bootstrap(environment.account);
}, 300_000);

afterAll(async () => {
  await moto.stop();
  dir.remove();
});

/** What `cdk bootstrap` leaves that our templates and our doctor look at. */
async function bootstrap(account: string): Promise<void> {
  for (const one of [region, recoveryRegion]) {
    await fetch(moto.endpoint, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-amz-json-1.1',
        'x-amz-target': 'AmazonSSM.PutParameter',
        authorization: `AWS4-HMAC-SHA256 Credential=moto/20260101/${one}/ssm/aws4_request`,
      },
      body: JSON.stringify({ Name: '/cdk-bootstrap/hnb659fds/version', Value: '30', Type: 'String' }),
    });
    const Bucket = `cdk-hnb659fds-assets-${account}-${one}`;
    const s3 = new S3Client({ region: one, forcePathStyle: true });
    const elsewhere =
      one === region ? {} : { CreateBucketConfiguration: { LocationConstraint: recoveryRegion } };
    await s3.send(new CreateBucketCommand({ Bucket, ...elsewhere }));
  }
}

/** Creates the stack. @returns the types of the resources that are there, and those that are not */
async function deploy({ stack, region: where }: Made): Promise<{ missing: Set<string>; status: string }> {
  const client = new CloudFormationClient({ region: where });
  const template = Template.fromStack(stack).toJSON() as { Resources: Record<string, { Type: string }> };
  const Resources = Object.fromEntries(
    Object.entries(template.Resources).filter(([, { Type }]) => !REFUSED.has(Type)),
  );
  const body = JSON.stringify(await withOutputs({ ...template, Resources }));
  const { stackName: StackName } = stack;
  await client.send(
    new CreateStackCommand({ StackName, TemplateBody: body, Capabilities: ['CAPABILITY_NAMED_IAM'] }),
  );
  const { Stacks = [] } = await client.send(new DescribeStacksCommand({ StackName }));
  const there = new Set<string | undefined>();
  for await (const { StackResourceSummaries = [] } of paginateListStackResources({ client }, { StackName })) {
    for (const { LogicalResourceId } of StackResourceSummaries) there.add(LogicalResourceId);
  }
  const missing = Object.entries(Resources).filter(([id]) => !there.has(id));
  return { missing: new Set(missing.map(([, { Type }]) => Type)), status: Stacks[0]?.StackStatus ?? '' };
}

/** As CloudFormation does it: a reference to another stack's output becomes its value. moto does not know them. */
async function withOutputs(value: unknown): Promise<unknown> {
  if (Array.isArray(value)) return Promise.all(value.map(withOutputs));
  if (value === null || typeof value !== 'object') return value;
  const { 'Fn::GetStackOutput': wanted } = value as {
    'Fn::GetStackOutput'?: { StackName: string; OutputName: string; Region?: string };
  };
  if (wanted === undefined) {
    const entries = Object.entries(value).map(
      async ([key, inner]) => [key, await withOutputs(inner)] as const,
    );
    return Object.fromEntries(await Promise.all(entries));
  }
  const client = new CloudFormationClient({ region: wanted.Region ?? region });
  const { Stacks = [] } = await client.send(new DescribeStacksCommand({ StackName: wanted.StackName }));
  const found = Stacks[0]?.Outputs?.find(({ OutputKey }) => OutputKey === wanted.OutputName)?.OutputValue;
  if (found === undefined) throw new Error(`${wanted.StackName} has no output ${wanted.OutputName}`);
  return found;
}

describe('the stacks of prod in an emulated account', () => {
  test('are created in their order; what the emulator lacks is known', async () => {
    const inOrder: Made[] = [
      ...(made.recovery === undefined ? [] : [{ stack: made.recovery, region: recoveryRegion }]),
      { stack: made.storage, region },
      ...(made.network === undefined ? [] : [{ stack: made.network, region }]),
      { stack: made.cluster, region },
      { stack: made.observability, region },
      { stack: made.drills, region },
    ];
    for (const one of inOrder) {
      const { status, missing } = await deploy(one);
      expect([one.stack.stackName, status]).toEqual([one.stack.stackName, 'CREATE_COMPLETE']);
      expect([...missing].filter((type) => !NOT_EMULATED.has(type))).toEqual([]);
    }
  });

  test('have a volume for each slot, which the agent finds by zone and attaches', async () => {
    const ec2 = new EC2Client({ region });
    // The emulator's CloudFormation forgets type and tags of a volume; EC2's own call with the same properties does not.
    for (const { Properties } of Object.values(
      Template.fromStack(made.storage).findResources('AWS::EC2::Volume'),
    )) {
      const { Tags, ...rest } = Properties as CreateVolumeCommandInput & { Tags: Tag[] };
      const TagSpecifications: TagSpecification[] = [{ ResourceType: 'volume', Tags }];
      await ec2.send(new CreateVolumeCommand({ ...rest, TagSpecifications }));
    }
    const volumes = new Ec2Volumes({ region }, { cluster: CLUSTER_TAG, nodeId: NODE_ID_TAG });
    const found = await volumes.list('prod', 'us-east-1b');
    expect(found.map(({ nodeId }) => nodeId).sort((a, b) => a - b)).toEqual([101, 102]);
    const { Instances = [] } = await ec2.send(
      new RunInstancesCommand({
        ImageId: 'ami-12c6146b',
        MinCount: 1,
        MaxCount: 1,
        Placement: { AvailabilityZone: 'us-east-1b' },
      }),
    );
    const instanceId = Instances[0]?.InstanceId ?? '';
    expect(await volumes.isRunning(instanceId)).toBe(true);
    await volumes.attach(found[0]?.volumeId ?? '', instanceId, '/dev/sdf');
    const [attached] = await volumes.list('prod', 'us-east-1b');
    expect(attached?.attachments).toMatchObject([{ instanceId, deviceName: '/dev/sdf' }]);
  });

  test('have a group in each zone', async () => {
    const { AutoScalingGroups = [] } = await new AutoScalingClient({ region }).send(
      new DescribeAutoScalingGroupsCommand(),
    );
    expect(AutoScalingGroups.map(({ AutoScalingGroupName }) => AutoScalingGroupName).sort()).toEqual(
      made.environment.zones.map((zone) => `millrace-prod-${zone}`),
    );
  });

  test('have a zone that the agent can write its name into, beside the bootstrap name', async () => {
    const template = Template.fromStack(made.cluster);
    const { dns } = instanceConfigOf(template.toJSON());
    const route53 = new Route53Client({ region });
    const HostedZoneId = await physicalId(made.cluster, 'AWS::Route53::HostedZone');
    await new Route53Names({ region }, HostedZoneId).put(`b1.${dns.domain}`, '10.60.0.9');
    const { ResourceRecordSets = [] } = await route53.send(
      new ListResourceRecordSetsCommand({ HostedZoneId }),
    );
    const names = ResourceRecordSets.filter(({ Type }) => Type === 'A').map(({ Name }) => Name);
    expect(names.sort()).toEqual([`b1.${dns.domain}.`, `${dns.domain}.`]);
  });
});

async function physicalId(stack: Stack, type: string): Promise<string> {
  const client = new CloudFormationClient({ region });
  for await (const { StackResourceSummaries = [] } of paginateListStackResources(
    { client },
    { StackName: stack.stackName },
  )) {
    const found = StackResourceSummaries.find(({ ResourceType }) => ResourceType === type);
    if (found?.PhysicalResourceId !== undefined) return found.PhysicalResourceId;
  }
  throw new Error(`${stack.stackName} has no ${type}`);
}

describe('millrace doctor --online', () => {
  const findings = async (env: NodeJS.ProcessEnv = {}): Promise<Record<string, string[]>> => {
    const { stdout } = await run(
      process.execPath,
      [COMMAND, 'doctor', '--env', 'prod', '--online', '--json'],
      { env: { ...process.env, ...env } },
    );
    const all = (JSON.parse(stdout) as { findings: { check: string; level: string }[] }).findings;
    const checks = [...new Set(all.map(({ check }) => check))];
    return Object.fromEntries(
      checks.map((check) => [check, all.filter((one) => one.check === check).map(({ level }) => level)]),
    );
  };

  test('finds identity, zones, types and bootstrap in order, and asks on when one answer fails', async () => {
    expect(await findings()).toMatchObject({
      identity: ['ok'],
      zones: ['ok'],
      instances: ['ok', 'ok', 'ok'],
      // moto has no quotas.
      quotas: ['problem'],
      bootstrap: ['ok', 'ok'],
    });
  });

  test('wants a bucket that is there already to be versioned', async () => {
    // The emulator made it and forgot that.
    expect(await findings()).toMatchObject({ bucket: ['problem'] });
    await new S3Client({ region, forcePathStyle: true }).send(
      new PutBucketVersioningCommand({
        Bucket: made.environment.data.bucketName,
        VersioningConfiguration: { Status: 'Enabled' },
      }),
    );
    expect(await findings()).toMatchObject({ bucket: ['ok'] });
  });

  test('wants the second region’s bucket to be versioned too', async () => {
    expect(await findings()).toMatchObject({ replica: ['problem'] });
    await new S3Client({ region: recoveryRegion, forcePathStyle: true }).send(
      new PutBucketVersioningCommand({
        Bucket: made.environment.recovery?.bucketName,
        VersioningConfiguration: { Status: 'Enabled' },
      }),
    );
    expect(await findings()).toMatchObject({ replica: ['ok'] });
  });

  test('wants a private zone to answer in the VPC that the brokers are in', async () => {
    if (made.network === undefined) throw new Error('prod has a network of its own');
    const vpcId = await physicalId(made.network, 'AWS::EC2::VPC');
    // Of the template's own zone the emulator forgets that it is private.
    const { HostedZone } = await new Route53Client({ region }).send(
      new CreateHostedZoneCommand({
        Name: made.environment.dns.domain,
        CallerReference: 'private',
        HostedZoneConfig: { PrivateZone: true },
        VPC: { VPCId: vpcId, VPCRegion: region },
      }),
    );
    const hostedZoneId = HostedZone?.Id?.replace('/hostedzone/', '');
    const dnsIn = async (network: ExistingNetwork): Promise<string[]> => {
      const { domain } = made.environment.dns;
      const all = await onlineFindings({ ...made.environment, network, dns: { domain, hostedZoneId } });
      return all.filter(({ check }) => check === 'dns').map(({ level }) => level);
    };
    const existing = { vpcCidr: '10.60.0.0/16', subnetIds: {} };
    expect(await dnsIn({ ...existing, vpcId })).toEqual(['ok', 'ok']);
    expect(await dnsIn({ ...existing, vpcId: 'vpc-00000000000000000' })).toEqual(['ok', 'problem']);
  });

  test('asks nothing more of an account that is another one', async () => {
    const other = await Moto.start('999999999999');
    try {
      const found = await findings(other.env);
      expect(found['identity']).toEqual(['problem']);
      expect(found['zones']).toBeUndefined();
    } finally {
      await other.stop();
    }
  });

  test('says in a line that there is nobody to ask', async () => {
    const stdout = await runOk(
      'bash',
      ['-c', `"${process.execPath}" "${COMMAND}" doctor --env prod --online; true`],
      { env: { ...process.env, AWS_ENDPOINT_URL: 'http://127.0.0.1:1' } },
    );
    expect(stdout).toMatch(/^problem +identity +could not be asked: /m);
    expect(stdout).not.toMatch(/ at .*node_modules/);
  });
});
