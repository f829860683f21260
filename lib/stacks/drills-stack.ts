import { Stack, type StackProps } from 'aws-cdk-lib';
import { CfnExperimentTemplate } from 'aws-cdk-lib/aws-fis';
import { PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';
import { acknowledgeWildcards, partitionInFindings } from '../constructs/acknowledge.ts';
import type { ResolvedEnvironment } from '../environment/resolve.ts';
import { CLUSTER_TAG } from '../instance-contract.ts';
import { stopAlarmName } from './observability-stack.ts';

export interface DrillsStackProps extends StackProps {
  readonly environment: ResolvedEnvironment;
}

interface Experiment {
  readonly id: string;
  readonly description: string;
  readonly actionId: string;
  readonly target: {
    readonly key: string;
    readonly resourceType: string;
    readonly zone?: string;
    readonly count: string;
  };
  readonly parameters?: Readonly<Record<string, string>>;
}

/**
 * Failures on purpose, in the real account: AWS FIS experiment templates over whatever carries the cluster's tag. Each stops
 * when a zone has no broker left. They only prepare: `aws fis start-experiment` is what breaks something.
 */
export class DrillsStack extends Stack {
  constructor(scope: Construct, id: string, props: DrillsStackProps) {
    super(scope, id, props);
    const { environment } = props;
    const { name, zones } = environment;
    const ofCluster = { StringEquals: { [`aws:ResourceTag/${CLUSTER_TAG}`]: name } };
    const arn = (service: string, resource: string): string =>
      `arn:${this.partition}:${service}:${this.region}:${this.account}:${resource}`;
    const role = new Role(this, 'Role', {
      assumedBy: new ServicePrincipal('fis.amazonaws.com'),
      description: `Drills of the Millrace cluster ${name}`,
    });
    role.addToPolicy(
      new PolicyStatement({
        actions: ['ec2:TerminateInstances', 'ec2:SendSpotInstanceInterruptions'],
        resources: [arn('ec2', 'instance/*')],
        conditions: ofCluster,
      }),
    );
    role.addToPolicy(
      new PolicyStatement({
        actions: ['ec2:PauseVolumeIO'],
        resources: [arn('ec2', 'volume/*')],
        conditions: ofCluster,
      }),
    );
    role.addToPolicy(
      new PolicyStatement({ actions: ['ec2:DescribeInstances', 'ec2:DescribeVolumes'], resources: ['*'] }),
    );
    const byTag = 'FIS acts on what carries the cluster’s tag, which the condition says.';
    acknowledgeWildcards(role, {
      'Resource::*': 'Describe calls know no resources (IAM: EC2 actions).',
      [`Resource::arn:${partitionInFindings(this)}:ec2:${this.region}:${this.account}:instance/*`]: byTag,
      [`Resource::arn:${partitionInFindings(this)}:ec2:${this.region}:${this.account}:volume/*`]: byTag,
    });
    for (const experiment of experimentsOf(environment, zones)) {
      new CfnExperimentTemplate(this, experiment.id, {
        description: experiment.description,
        roleArn: role.roleArn,
        stopConditions: [
          { source: 'aws:cloudwatch:alarm', value: arn('cloudwatch', `alarm:${stopAlarmName(environment)}`) },
        ],
        targets: {
          [experiment.target.key]: {
            resourceType: experiment.target.resourceType,
            selectionMode: experiment.target.count,
            resourceTags: { [CLUSTER_TAG]: name },
            ...(experiment.target.zone === undefined
              ? {}
              : { filters: [{ path: 'Placement.AvailabilityZone', values: [experiment.target.zone] }] }),
          },
        },
        actions: {
          break: {
            actionId: experiment.actionId,
            parameters: experiment.parameters ?? {},
            targets: { [experiment.target.key]: experiment.target.key },
          },
        },
        tags: { Name: `millrace-${name}-${experiment.id}`, [CLUSTER_TAG]: name },
      });
    }
  }
}

function experimentsOf({ wal, instances }: ResolvedEnvironment, zones: readonly string[]): Experiment[] {
  const instance = { key: 'Instances', resourceType: 'aws:ec2:instance', count: 'COUNT(1)' };
  const all: Experiment[] = [
    {
      id: 'KillBroker',
      description: 'Terminates one broker; its neighbour takes over',
      actionId: 'aws:ec2:terminate-instances',
      target: instance,
    },
    ...zones.map((zone) => ({
      id: `LoseZone${zone}`,
      description: `Terminates every broker of ${zone}`,
      actionId: 'aws:ec2:terminate-instances',
      target: { ...instance, zone, count: 'ALL' },
    })),
  ];
  if (instances.spotPercent > 0) {
    all.push({
      id: 'SpotNotice',
      description: 'Takes one spot instance back, with the notice of two minutes',
      actionId: 'aws:ec2:send-spot-instance-interruptions',
      target: { key: 'SpotInstances', resourceType: 'aws:ec2:spot-instance', count: 'COUNT(1)' },
      parameters: { durationBeforeInterruption: 'PT2M' },
    });
  }
  if (wal.kind === 'block-shared') {
    all.push({
      id: 'PauseVolume',
      description: 'Pauses the I/O of one WAL volume for a minute',
      actionId: 'aws:ebs:pause-volume-io',
      target: { key: 'Volumes', resourceType: 'aws:ec2:ebs-volume', count: 'COUNT(1)' },
      parameters: { duration: 'PT1M' },
    });
  }
  return all;
}
