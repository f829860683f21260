import { Stack, type StackProps } from 'aws-cdk-lib';
import { CfnExperimentTemplate } from 'aws-cdk-lib/aws-fis';
import { PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';
import { acknowledgeWildcards, partitionInFindings } from '../constructs/acknowledge.ts';
import { type ResolvedEnvironment, slotsOf } from '../environment/resolve.ts';
import { CLUSTER_TAG, NODE_ID_TAG } from '../instance-contract.ts';
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
    /** The volume of this slot. */
    readonly nodeId?: number;
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
    const { name } = environment;
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
      new PolicyStatement({
        // Volumes are found by tag through the tagging API (FIS: aws:ebs:pause-volume-io).
        actions: ['ec2:DescribeInstances', 'ec2:DescribeVolumes', 'tag:GetResources'],
        resources: ['*'],
      }),
    );
    const byTag = 'FIS acts on what carries the cluster’s tag, which the condition says.';
    acknowledgeWildcards(role, {
      'Resource::*': 'Calls that describe and find know no resources (IAM: EC2 actions, tagging actions).',
      [`Resource::arn:${partitionInFindings(this)}:ec2:${this.region}:${this.account}:instance/*`]: byTag,
      [`Resource::arn:${partitionInFindings(this)}:ec2:${this.region}:${this.account}:volume/*`]: byTag,
    });
    for (const experiment of experimentsOf(environment)) {
      const { key, resourceType, count, zone, nodeId } = experiment.target;
      const filters = [
        // Instances that ended some minutes ago are still described (FIS: targets); spot instances take no filters.
        ...(resourceType === 'aws:ec2:instance' ? [{ path: 'State.Name', values: ['running'] }] : []),
        ...(zone === undefined ? [] : [{ path: 'Placement.AvailabilityZone', values: [zone] }]),
      ];
      new CfnExperimentTemplate(this, experiment.id, {
        description: experiment.description,
        roleArn: role.roleArn,
        stopConditions: [
          { source: 'aws:cloudwatch:alarm', value: arn('cloudwatch', `alarm:${stopAlarmName(environment)}`) },
        ],
        targets: {
          [key]: {
            resourceType,
            selectionMode: count,
            // All of them have to be there (FIS: targets).
            resourceTags: {
              [CLUSTER_TAG]: name,
              ...(nodeId === undefined ? {} : { [NODE_ID_TAG]: String(nodeId) }),
            },
            ...(filters.length === 0 ? {} : { filters }),
          },
        },
        actions: {
          break: {
            actionId: experiment.actionId,
            parameters: experiment.parameters ?? {},
            targets: { [key]: key },
          },
        },
        tags: { Name: `millrace-${name}-${experiment.id}`, [CLUSTER_TAG]: name },
      });
    }
  }
}

function experimentsOf(environment: ResolvedEnvironment): Experiment[] {
  const { wal, instances, zones } = environment;
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
    all.push(
      // By slot: the disks that instances boot from have the cluster's tag, too.
      ...slotsOf(environment).map(({ nodeId, zone }) => ({
        id: `PauseVolume${nodeId}`,
        description: `Pauses the I/O of node ${nodeId}'s WAL volume in ${zone} for a minute`,
        actionId: 'aws:ebs:pause-volume-io',
        target: { key: 'Volumes', resourceType: 'aws:ec2:ebs-volume', nodeId, count: 'COUNT(1)' },
        parameters: { duration: 'PT1M' },
      })),
    );
  }
  return all;
}
