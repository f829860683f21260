import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { App, type Stack } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import { environments } from '../../environments/index.ts';
import type { Environment } from '../../lib/environment/environment.ts';
import { Millrace } from '../../lib/millrace.ts';
import { TempDir } from '../harness/temp-dir.ts';
import { instanceConfigOf, userDataOf } from '../harness/user-data.ts';

const cdkJson = JSON.parse(readFileSync('cdk.json', 'utf8')) as { context: Record<string, unknown> };
const dir = new TempDir();
const bundleFile = dir.join('millrace-broker.mjs');
const BUNDLE = 'export {};\n';

type Resources = Record<string, { Type: string; Properties: Record<string, unknown> }>;

function stacksOf(environment: Environment | undefined) {
  if (environment === undefined) throw new Error('no such example');
  const app = new App({ context: cdkJson.context, outdir: dir.join(`cdk.out-${environment.name}`) });
  const made = new Millrace(app, environment.name, { environment, bundleFile });
  const template = (stack: Stack): Template => Template.fromStack(stack);
  return {
    storage: template(made.storage),
    network: made.network === undefined ? undefined : template(made.network),
    cluster: template(made.cluster),
    observability: template(made.observability),
    drills: template(made.drills),
    recovery: made.recovery === undefined ? undefined : template(made.recovery),
    all: () => app.synth().stacks.map((stack) => JSON.stringify(stack.template)),
  };
}

let prod: ReturnType<typeof stacksOf>;
let stage: ReturnType<typeof stacksOf>;
let dev: ReturnType<typeof stacksOf>;
beforeAll(() => {
  writeFileSync(bundleFile, BUNDLE);
  prod = stacksOf(environments['prod']);
  stage = stacksOf(environments['stage']);
  dev = stacksOf(environments['dev']);
}, 60_000);
afterAll(() => dir.remove());

function idsOf(template: Template, type: string): string[] {
  return Object.keys(template.findResources(type)).sort();
}

test('a zone has the size of the hour, at most a broker for each slot', () => {
  stage.cluster.resourceCountIs('AWS::AutoScaling::ScheduledAction', 6);
  stage.cluster.hasResourceProperties('AWS::AutoScaling::ScheduledAction', {
    Recurrence: '0 20 * * 1-5',
    DesiredCapacity: 1,
  });
  stage.cluster.allResourcesProperties('AWS::AutoScaling::AutoScalingGroup', { MinSize: '1', MaxSize: '2' });
});

describe('what holds data', () => {
  test('is a volume for each slot: shared, encrypted, kept, found by tag', () => {
    prod.storage.resourceCountIs('AWS::EC2::Volume', 6);
    prod.storage.hasResource('AWS::EC2::Volume', {
      DeletionPolicy: 'RetainExceptOnCreate',
      UpdateReplacePolicy: 'Retain',
      Properties: {
        VolumeType: 'io2',
        MultiAttachEnabled: true,
        Encrypted: true,
        Size: 16,
        Iops: 1000,
        AvailabilityZone: 'us-east-1b',
        Tags: Match.arrayWith([
          { Key: 'millrace:cluster', Value: 'prod' },
          { Key: 'millrace:node-id', Value: '102' },
        ]),
      },
    });
  });

  // left-by-a-failed-creation: kept, it would stand in the way of the next one.
  test('is kept by whatever happens later, and goes with a creation that failed', () => {
    const templates = [prod.storage, prod.recovery, stage.storage].flatMap((one) => one?.toJSON() ?? []);
    const kept = (templates as { Resources: Record<string, Record<string, unknown>> }[]).flatMap(
      ({ Resources }) =>
        Object.values(Resources).filter(({ Type }) => /::(Volume|Bucket)$/.test(String(Type))),
    );
    expect(kept).toHaveLength(9);
    for (const { DeletionPolicy, UpdateReplacePolicy } of kept) {
      expect([DeletionPolicy, UpdateReplacePolicy]).toEqual(['RetainExceptOnCreate', 'Retain']);
    }
  });

  test('keeps its logical ids: another one would be another volume, another bucket', () => {
    expect(idsOf(prod.storage, 'AWS::EC2::Volume')).toEqual([
      'WalNode10146476AF4',
      'WalNode102B3675AC9',
      'WalNode155879691',
      'WalNode201D346B7DF',
      'WalNode202FEE3FEF0',
      'WalNode26BA7C54B',
    ]);
    expect(idsOf(prod.storage, 'AWS::S3::Bucket')).toEqual(['StreamsBucketE0A7115B']);
  });

  test('is a versioned, private bucket that refuses writes without a condition and without TLS', () => {
    prod.storage.hasResource('AWS::S3::Bucket', {
      DeletionPolicy: 'RetainExceptOnCreate',
      Properties: {
        VersioningConfiguration: { Status: 'Enabled' },
        PublicAccessBlockConfiguration: {
          BlockPublicAcls: true,
          BlockPublicPolicy: true,
          IgnorePublicAcls: true,
          RestrictPublicBuckets: true,
        },
      },
    });
    prod.storage.hasResourceProperties('AWS::S3::BucketPolicy', {
      PolicyDocument: {
        Statement: Match.arrayWith([
          Match.objectLike({ Effect: 'Deny', Condition: { Bool: { 'aws:SecureTransport': 'false' } } }),
          Match.objectLike({
            Effect: 'Deny',
            Action: 's3:PutObject',
            Condition: { Null: { 's3:if-none-match': 'true', 's3:if-match': 'true' } },
          }),
        ]),
      },
    });
  });

  test('is copied to the second region, with metrics', () => {
    prod.storage.hasResourceProperties('AWS::S3::Bucket', {
      ReplicationConfiguration: {
        Rules: [
          Match.objectLike({
            Status: 'Enabled',
            Destination: Match.objectLike({ StorageClass: 'STANDARD', Metrics: { Status: 'Enabled' } }),
          }),
        ],
      },
    });
    prod.recovery?.hasResourceProperties('AWS::S3::Bucket', {
      BucketName: 'millrace-prod-333333333333-us-east-1-replica',
      VersioningConfiguration: { Status: 'Enabled' },
    });
  });

  test('goes with the stack only where two keys said so', () => {
    dev.storage.hasResource('AWS::S3::Bucket', { DeletionPolicy: 'Delete' });
    dev.storage.hasResource('AWS::EC2::Volume', { DeletionPolicy: 'Delete' });
  });

  test('has no volume with the WAL in the bucket, and then no instance may attach any', () => {
    stage.storage.resourceCountIs('AWS::EC2::Volume', 0);
    expect(JSON.stringify(stage.cluster.toJSON())).not.toContain('ec2:AttachVolume');
    expect(JSON.stringify(prod.cluster.toJSON())).toContain('ec2:AttachVolume');
  });
});

describe('the brokers', () => {
  test('are a group in each zone that no instance can enter without its hook', () => {
    const groups = Object.values(
      prod.cluster.findResources('AWS::AutoScaling::AutoScalingGroup') as Resources,
    );
    expect(groups.map(({ Properties }) => Properties['AutoScalingGroupName'])).toEqual([
      'millrace-prod-us-east-1a',
      'millrace-prod-us-east-1b',
      'millrace-prod-us-east-1c',
    ]);
    for (const { Properties } of groups) {
      expect(Properties['VPCZoneIdentifier']).toHaveLength(1);
      expect(Properties['LifecycleHookSpecificationList']).toEqual([
        expect.objectContaining({
          LifecycleTransition: 'autoscaling:EC2_INSTANCE_LAUNCHING',
          DefaultResult: 'ABANDON',
        }),
        expect.objectContaining({ LifecycleTransition: 'autoscaling:EC2_INSTANCE_TERMINATING' }),
      ]);
    }
    prod.cluster.resourceCountIs('AWS::AutoScaling::LifecycleHook', 0);
  });

  test('are spot by default, on several types, with the base of each zone on demand', () => {
    prod.cluster.hasResourceProperties('AWS::AutoScaling::AutoScalingGroup', {
      CapacityRebalance: true,
      MixedInstancesPolicy: {
        InstancesDistribution: {
          OnDemandBaseCapacity: 1,
          OnDemandPercentageAboveBaseCapacity: 0,
          SpotAllocationStrategy: 'price-capacity-optimized',
        },
        LaunchTemplate: {
          Overrides: Match.arrayWith([{ InstanceType: 'm7g.large' }, { InstanceType: 'r8g.large' }]),
        },
      },
    });
  });

  test('have IMDSv2 only, an encrypted disk, no public address and no key', () => {
    prod.cluster.hasResourceProperties('AWS::EC2::LaunchTemplate', {
      LaunchTemplateData: {
        MetadataOptions: { HttpTokens: 'required', HttpPutResponseHopLimit: 1 },
        NetworkInterfaces: [Match.objectLike({ AssociatePublicIpAddress: false })],
        BlockDeviceMappings: [Match.objectLike({ Ebs: Match.objectLike({ Encrypted: true }) })],
        KeyName: Match.absent(),
      },
    });
  });

  test('boot the newest image at each deployment, or the one that the environment pins', () => {
    const { stage: example } = environments;
    if (example === undefined) throw new Error('no such example');
    const imageId = 'ami-0123456789abcdef0';
    const pinned = stacksOf({ ...example, name: 'pinned', instances: { ...example.instances, imageId } });
    pinned.cluster.hasResourceProperties('AWS::EC2::LaunchTemplate', {
      LaunchTemplateData: { ImageId: imageId },
    });
    expect(JSON.stringify(pinned.cluster.toJSON())).not.toContain('ami-amazon-linux-latest');
    expect(JSON.stringify(prod.cluster.toJSON())).toContain('al2023-ami-kernel-6.1-arm64');
  });

  test('verify the bundle by its checksum before they start it', () => {
    const [template] = Object.values(prod.cluster.findResources('AWS::EC2::LaunchTemplate') as Resources);
    const script = JSON.stringify(template);
    const sha256 = createHash('sha256').update(BUNDLE).digest('hex');
    expect(script).toContain(`${sha256}  /opt/millrace/millrace-broker.mjs`);
    expect(script.indexOf('sha256sum --check')).toBeLessThan(script.indexOf('systemctl enable'));
  });

  // unbounded-after-reboot: user data runs once, the kernel's parameter is gone with each boot.
  test('bound I/O on volumes at each start of their unit, with rights that the broker itself has not', () => {
    const script = userDataOf(prod.cluster.toJSON());
    const [, unit = ''] = /millrace\.service <<'MILLRACE'\n(.*?)\nMILLRACE\n/s.exec(script) ?? [];
    expect(unit).toMatch(/^ExecStartPre=\+-.*echo 10 > .sys.module.nvme_core.parameters.io_timeout'$/m);
    expect(unit).toMatch(
      /^ExecStartPre=\+-.*echo 10000 \| tee .sys.block.nvme\[1-9\]\*n1.queue.io_timeout'$/m,
    );
    expect(unit.indexOf('ExecStartPre')).toBeLessThan(unit.indexOf('ExecStart=/usr/bin/node-24'));
    // systemd would take these for its own.
    expect(unit).not.toMatch(/^Exec.*[$%]/m);
  });

  test('may write nothing outside their cluster', () => {
    const policies = Object.values(prod.cluster.findResources('AWS::IAM::Policy') as Resources);
    const statements = policies.flatMap(
      ({ Properties }) =>
        (Properties['PolicyDocument'] as { Statement: Record<string, unknown>[] }).Statement,
    );
    for (const { Action, Resource, Condition } of statements) {
      const actions = [Action].flat() as string[];
      expect(actions.every((action) => !action.includes('*'))).toBe(true);
      // Only describing and metrics know no resources; metrics are bound by their namespace.
      if (actions.includes('cloudwatch:PutMetricData')) {
        expect(Condition).toEqual({ StringEquals: { 'cloudwatch:namespace': 'Millrace' } });
      } else if (Resource === '*') expect(actions.every((action) => /:Describe/.test(action))).toBe(true);
      // What acts on any volume or instance is bound by the cluster's tag.
      if (actions.includes('ec2:AttachVolume')) {
        expect(Condition).toEqual({ StringEquals: { 'aws:ResourceTag/millrace:cluster': 'prod' } });
      }
    }
  });

  // bootstrap-only: a client that gets its first answer and then reaches no broker.
  test.each(['Clients of the Millrace cluster prod', 'Brokers of the Millrace cluster prod'])(
    'are reached by clients of the given ranges alone, at the load balancer and by their own names: %s',
    (GroupDescription) => {
      prod.cluster.hasResourceProperties('AWS::EC2::SecurityGroup', {
        GroupDescription,
        SecurityGroupIngress: [
          {
            CidrIp: '10.60.0.0/16',
            FromPort: 9092,
            ToPort: 9092,
            IpProtocol: 'tcp',
            Description: 'Kafka clients',
          },
        ],
      });
    },
  );

  test('have one name to begin with', () => {
    prod.cluster.hasResourceProperties('AWS::Route53::RecordSet', {
      Name: 'prod.millrace.internal.',
      Type: 'A',
    });
    prod.cluster.hasResourceProperties('AWS::ElasticLoadBalancingV2::LoadBalancer', {
      Type: 'network',
      Scheme: 'internal',
    });
  });
});

test('operators get into an instance only where the environment says so', () => {
  const { prod: example } = environments;
  if (example === undefined) throw new Error('no such example');
  const open = stacksOf({
    ...example,
    name: 'open',
    instances: { ...example.instances, sessionManager: true },
  });
  const policiesOf = (template: Template): unknown =>
    Object.values(template.findResources('AWS::IAM::Role') as Resources).map(
      ({ Properties }) => Properties['ManagedPolicyArns'],
    );
  expect(policiesOf(prod.cluster)).toEqual([undefined]);
  expect(JSON.stringify(policiesOf(open.cluster))).toContain('policy/AmazonSSMManagedInstanceCore');
});

describe('around them', () => {
  test('is a VPC of the given zones, with S3 by a gateway', () => {
    const subnets = Object.values((prod.network?.findResources('AWS::EC2::Subnet') ?? {}) as Resources);
    const zones = new Set(subnets.map(({ Properties }) => Properties['AvailabilityZone']));
    expect(zones).toEqual(new Set(['us-east-1a', 'us-east-1b', 'us-east-1c']));
    prod.network?.hasResourceProperties('AWS::EC2::VPCEndpoint', { VpcEndpointType: 'Gateway' });
  });

  test('or nothing at all in a VPC that exists already', () => {
    expect(stage.network).toBeUndefined();
    stage.cluster.hasResourceProperties('AWS::AutoScaling::AutoScalingGroup', {
      VPCZoneIdentifier: ['subnet-0123456789abcdef2'],
    });
  });

  test('every alarm has a runbook and tells the operators', () => {
    const alarms = Object.values(prod.observability.findResources('AWS::CloudWatch::Alarm') as Resources);
    expect(alarms.length).toBeGreaterThanOrEqual(11);
    for (const { Properties } of alarms) {
      expect(Properties['AlarmDescription']).toContain('docs/runbooks.md');
      expect(Properties['AlarmActions']).toEqual(['arn:aws:sns:us-east-1:333333333333:operators']);
    }
  });

  test('the lag of the replica is watched in its own region, where S3 tells it; failed copies in the first one', () => {
    prod.recovery?.hasResourceProperties('AWS::CloudWatch::Alarm', {
      AlarmName: 'millrace-prod-replication-lag',
      MetricName: 'ReplicationLatency',
      AlarmActions: ['arn:aws:sns:us-west-2:333333333333:operators'],
    });
    prod.observability.hasResourceProperties('AWS::CloudWatch::Alarm', {
      AlarmName: 'millrace-prod-replication-failed',
      MetricName: 'OperationsFailedReplication',
    });
  });

  test('and the runbook has a section of its name', () => {
    const sections = [...readFileSync('docs/runbooks.md', 'utf8').matchAll(/^## (.*)$/gm)].map(
      ([, name]) => name,
    );
    const alarms = [prod.observability, prod.recovery].flatMap((template) =>
      Object.values((template?.findResources('AWS::CloudWatch::Alarm') ?? {}) as Resources),
    );
    const names = alarms.map(({ Properties }) =>
      String(Properties['AlarmName'])
        .replace('millrace-prod-', 'millrace-NAME-')
        .replace(/us-east-1[abc]$/, 'ZONE')
        .replace(/-\d+$/, '-N'),
    );
    expect(sections.sort()).toEqual([...new Set(names)].sort());
  });

  test('the alarm that stops experiments watches every zone', () => {
    prod.observability.hasResourceProperties('AWS::CloudWatch::Alarm', {
      AlarmName: 'millrace-prod-zone-without-brokers',
      Metrics: Match.arrayWith(
        environments['prod']?.zones.map((zone) =>
          Match.objectLike({
            MetricStat: {
              Metric: {
                Dimensions: [{ Name: 'AutoScalingGroupName', Value: `millrace-prod-${zone}` }],
              },
            },
          }),
        ) ?? [],
      ),
    });
  });

  test('no experiment is without a condition that stops it', () => {
    const experiments = Object.values(prod.drills.findResources('AWS::FIS::ExperimentTemplate') as Resources);
    expect(experiments.length).toBe(11);
    for (const { Properties } of experiments) {
      expect(Properties['StopConditions']).toEqual([
        expect.objectContaining({ Source: 'aws:cloudwatch:alarm' }),
      ]);
    }
  });
});

test('an experiment that ends instances finds those that run: EC2 describes others for a while', () => {
  const running = { Path: 'State.Name', Values: ['running'] };
  prod.drills.hasResourceProperties('AWS::FIS::ExperimentTemplate', {
    Description: 'Terminates one broker; its neighbour takes over',
    Targets: { Instances: Match.objectLike({ Filters: [running] }) },
  });
  prod.drills.hasResourceProperties('AWS::FIS::ExperimentTemplate', {
    Description: 'Terminates every broker of us-east-1b',
    Targets: {
      Instances: Match.objectLike({
        Filters: [running, { Path: 'Placement.AvailabilityZone', Values: ['us-east-1b'] }],
      }),
    },
  });
});

describe('an experiment that pauses a volume', () => {
  // wrong-target: instances' own disks have the cluster's tag as well.
  test('is there for each slot, and finds the volume of that slot and no disk of an instance', () => {
    const experiments = Object.values(prod.drills.findResources('AWS::FIS::ExperimentTemplate') as Resources);
    const targets = experiments.flatMap(
      ({ Properties }) => (Properties['Targets'] as { Volumes?: { ResourceTags: object } }).Volumes ?? [],
    );
    expect(targets.map(({ ResourceTags }) => ResourceTags)).toEqual(
      ['1', '2', '101', '102', '201', '202'].map((nodeId) => ({
        'millrace:cluster': 'prod',
        'millrace:node-id': nodeId,
      })),
    );
  });

  test('may look for it by tag, which FIS does through another API', () => {
    prod.drills.hasResourceProperties('AWS::IAM::Policy', {
      PolicyDocument: {
        Statement: Match.arrayWith([
          Match.objectLike({ Action: Match.arrayWith(['tag:GetResources']), Resource: '*' }),
        ]),
      },
    });
  });
});

describe('all stacks', () => {
  test('no custom resource, no Lambda, no export that a deletion would wait for', () => {
    for (const template of prod.all()) {
      expect(template).not.toMatch(/AWS::Lambda|Custom::|"Export":/);
    }
  });

  test('bound-one-role-only: a permissions boundary is on every role, of replication and drills too', () => {
    const { prod: example } = environments;
    if (example === undefined) throw new Error('no such example');
    const permissionsBoundaryArn = 'arn:aws:iam::333333333333:policy/boundary';
    const bound = stacksOf({ ...example, name: 'bound', permissionsBoundaryArn });
    const roles = [bound.storage, bound.cluster, bound.drills].map((template) =>
      Object.values(template.findResources('AWS::IAM::Role') as Resources).map(
        ({ Properties }) => Properties['PermissionsBoundary'],
      ),
    );
    expect(roles).toEqual([[permissionsBoundaryArn], [permissionsBoundaryArn], [permissionsBoundaryArn]]);
  });

  test('the same environment gives the same templates, byte for byte', () => {
    expect(stacksOf(environments['prod']).all()).toEqual(prod.all());
  });
});

describe('the whole template of each stack of prod', () => {
  /** What a new CDK or another bundle changes says nothing about the stack. */
  const stable = (template: Template | undefined): unknown => {
    const { Resources, ...rest } = template?.toJSON() as { Resources: Record<string, { Type: string }> };
    const kept = Object.entries(Resources).filter(([, { Type }]) => Type !== 'AWS::CDK::Metadata');
    return { ...rest, Resources: Object.fromEntries(kept) };
  };

  test.each(['recovery', 'storage', 'network', 'cluster', 'observability', 'drills'] as const)(
    '%s is as it was reviewed; `npm test -- -u` accepts a change',
    (stack) => {
      expect(stable(prod[stack])).toMatchSnapshot();
    },
  );
});

describe('a promoted bucket', () => {
  test('is named and not made, and tells every instance its generation', () => {
    const { dev: example } = environments;
    if (example === undefined) throw new Error('no such example');
    const promoted = stacksOf({
      ...example,
      name: 'second',
      data: { bucketName: 'millrace-prod-replica', promoted: { generation: 1 } },
    });
    promoted.storage.resourceCountIs('AWS::S3::Bucket', 0);
    promoted.storage.resourceCountIs('AWS::EC2::Volume', 3);
    const config = instanceConfigOf(promoted.cluster.toJSON());
    expect(config).toMatchObject({ bucket: 'millrace-prod-replica', generation: 1 });
    expect(instanceConfigOf(dev.cluster.toJSON())).not.toHaveProperty('generation');
  });
});
