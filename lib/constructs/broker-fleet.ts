import { Duration, Stack, Tags, Validations } from 'aws-cdk-lib';
import type { CfnAutoScalingGroup } from 'aws-cdk-lib/aws-autoscaling';
import {
  AutoScalingGroup,
  GroupMetric,
  GroupMetrics,
  OnDemandAllocationStrategy,
  Schedule,
  SpotAllocationStrategy,
} from 'aws-cdk-lib/aws-autoscaling';
import { Metric } from 'aws-cdk-lib/aws-cloudwatch';
import {
  AmazonLinuxCpuType,
  BlockDeviceVolume,
  type Connections,
  EbsDeviceVolumeType,
  type IConnectable,
  type IMachineImage,
  InstanceType,
  type ISecurityGroup,
  LaunchTemplate,
  LaunchTemplateHttpTokens,
  MachineImage,
  type SubnetSelection,
  type IVpc,
  UserData,
} from 'aws-cdk-lib/aws-ec2';
import type { IRole } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { ROOT_VOLUME_GIB } from '../environment/limits.ts';
import { CLUSTER_TAG, LAUNCH_HOOK, METRIC_NAMESPACE, TERMINATE_HOOK } from '../instance-contract.ts';

export interface BrokerFleetProps {
  readonly cluster: string;
  readonly vpc: IVpc;
  /** A group each. */
  readonly zones: readonly { readonly name: string; readonly subnets: SubnetSelection }[];
  readonly role: IRole;
  readonly securityGroup: ISecurityGroup;
  /** The script of the first boot. */
  readonly userData: string;
  readonly architecture: 'arm64' | 'x86_64';
  /** Amazon Linux 2023, in the stack's region. @default - the newest at each deployment */
  readonly imageId?: string;
  /** The wanted ones first. */
  readonly instanceTypes: readonly string[];
  /** Of each zone: instances that are never spot. */
  readonly onDemandBase: number;
  /** Of those above the base. */
  readonly spotPercent: number;
  readonly minPerZone: number;
  readonly maxPerZone: number;
  /** @default - none */
  readonly schedule?: readonly { readonly name: string; readonly cron: string; readonly perZone: number }[];
  /** Keeps the brokers of a zone this busy on average. @default - none */
  readonly busyPercent?: number;
}

/** An instance that has not answered its launch hook after this is replaced: boot, attach, replay of a full WAL. */
const LAUNCH_PATIENCE = Duration.minutes(10);
/** Draining takes seconds; a spot instance has two minutes anyway. */
const TERMINATE_PATIENCE = Duration.minutes(3);
/** Longer than a failover with replay, so that a slow start is not taken for a failure. */
const HEALTH_GRACE_SECONDS = 300;

/** Instances in service in a zone, the fewest of each minute: from the names alone, for stacks that hold no reference. */
export function metricBrokersInService(cluster: string, zone: string): Metric {
  return new Metric({
    namespace: 'AWS/AutoScaling',
    metricName: 'GroupInServiceInstances',
    dimensionsMap: { AutoScalingGroupName: groupName(cluster, zone) },
    statistic: 'Minimum',
    period: Duration.minutes(1),
  });
}

/** How busy the brokers of a zone are, the mean of each minute; their agents tell. */
export function metricBusyPercent(cluster: string, zone: string): Metric {
  return agentMetric('BusyPercent', cluster, zone, 'Average');
}

/** How full the fullest write-ahead log of a zone is; 100 when producers wait for room. */
export function metricWalFullPercent(cluster: string, zone: string): Metric {
  return agentMetric('WalFullPercent', cluster, zone, 'Maximum');
}

/** Days until the first certificate of a broker in the zone ends; nothing without TLS. */
export function metricCertificateDaysLeft(cluster: string, zone: string): Metric {
  return agentMetric('CertificateDaysLeft', cluster, zone, 'Minimum');
}

function agentMetric(metricName: string, cluster: string, zone: string, statistic: string): Metric {
  return new Metric({
    namespace: METRIC_NAMESPACE,
    metricName,
    dimensionsMap: { Cluster: cluster, Zone: zone },
    statistic,
    period: Duration.minutes(1),
  });
}

export function groupName(cluster: string, zone: string): string {
  return `millrace-${cluster}-${zone}`;
}

/**
 * The brokers: an Auto Scaling group in each zone, because a WAL volume cannot leave its zone and a group over several zones
 * would rebalance away from it. All from one launch template.
 */
export class BrokerFleet extends Construct implements IConnectable {
  readonly connections: Connections;
  /** By zone. */
  readonly groups: ReadonlyMap<string, AutoScalingGroup>;
  readonly #cluster: string;

  constructor(scope: Construct, id: string, props: BrokerFleetProps) {
    super(scope, id);
    this.#cluster = props.cluster;
    this.connections = props.securityGroup.connections;
    const [firstType = ''] = props.instanceTypes;
    const template = new LaunchTemplate(this, 'Template', {
      launchTemplateName: `millrace-${props.cluster}`,
      instanceType: new InstanceType(firstType),
      machineImage: machineImage(this, props),
      role: props.role,
      securityGroup: props.securityGroup,
      userData: UserData.custom(props.userData),
      requireImdsv2: true,
      httpTokens: LaunchTemplateHttpTokens.REQUIRED,
      httpPutResponseHopLimit: 1,
      ebsOptimized: true,
      detailedMonitoring: true,
      associatePublicIpAddress: false,
      blockDevices: [
        {
          deviceName: '/dev/xvda',
          volume: BlockDeviceVolume.ebs(ROOT_VOLUME_GIB, {
            encrypted: true,
            volumeType: EbsDeviceVolumeType.GP3,
          }),
        },
      ],
    });
    Tags.of(template).add(CLUSTER_TAG, props.cluster);
    this.groups = new Map(props.zones.map((zone) => [zone.name, this.#group(zone, template, props)]));
  }

  /** Of a zone. */
  metricBusyPercent(zone: string): Metric {
    return metricBusyPercent(this.#cluster, zone);
  }

  /** Of a zone. */
  metricWalFullPercent(zone: string): Metric {
    return metricWalFullPercent(this.#cluster, zone);
  }

  /** As the function of this name. */
  metricCertificateDaysLeft(zone: string): Metric {
    return metricCertificateDaysLeft(this.#cluster, zone);
  }

  /** Of a zone. */
  metricBrokersInService(zone: string): Metric {
    return metricBrokersInService(this.#cluster, zone);
  }

  #group(
    zone: BrokerFleetProps['zones'][number],
    launchTemplate: LaunchTemplate,
    props: BrokerFleetProps,
  ): AutoScalingGroup {
    const group = new AutoScalingGroup(this, `Zone${zone.name}`, {
      autoScalingGroupName: groupName(props.cluster, zone.name),
      vpc: props.vpc,
      vpcSubnets: zone.subnets,
      minCapacity: props.minPerZone,
      maxCapacity: props.maxPerZone,
      mixedInstancesPolicy: {
        launchTemplate,
        launchTemplateOverrides: props.instanceTypes.map((type) => ({
          instanceType: new InstanceType(type),
        })),
        instancesDistribution: {
          onDemandBaseCapacity: props.onDemandBase,
          onDemandPercentageAboveBaseCapacity: 100 - props.spotPercent,
          onDemandAllocationStrategy: OnDemandAllocationStrategy.PRIORITIZED,
          spotAllocationStrategy: SpotAllocationStrategy.PRICE_CAPACITY_OPTIMIZED,
        },
      },
      capacityRebalance: true,
      groupMetrics: [new GroupMetrics(GroupMetric.IN_SERVICE_INSTANCES)],
    });
    const resource = group.node.defaultChild as CfnAutoScalingGroup;
    resource.healthCheckType = 'EC2';
    resource.healthCheckGracePeriod = HEALTH_GRACE_SECONDS;
    // In the group itself: a hook of its own comes after the group, and the first instances launch without it.
    resource.lifecycleHookSpecificationList = [
      {
        lifecycleHookName: LAUNCH_HOOK,
        lifecycleTransition: 'autoscaling:EC2_INSTANCE_LAUNCHING',
        heartbeatTimeout: LAUNCH_PATIENCE.toSeconds(),
        defaultResult: 'ABANDON',
      },
      {
        lifecycleHookName: TERMINATE_HOOK,
        lifecycleTransition: 'autoscaling:EC2_INSTANCE_TERMINATING',
        heartbeatTimeout: TERMINATE_PATIENCE.toSeconds(),
        defaultResult: 'CONTINUE',
      },
    ];
    // One instance at a time, and a new template alone replaces nobody: `aws autoscaling start-instance-refresh` does, zone by
    // zone, after the zone before was seen well.
    Tags.of(group).add(CLUSTER_TAG, props.cluster);
    Tags.of(group).add('Name', groupName(props.cluster, zone.name));
    for (const { name, cron, perZone } of props.schedule ?? []) {
      group.scaleOnSchedule(name, { schedule: Schedule.expression(cron), desiredCapacity: perZone });
    }
    if (props.busyPercent !== undefined) {
      group.scaleToTrackMetric('Busy', {
        metric: metricBusyPercent(props.cluster, zone.name),
        targetValue: props.busyPercent,
      });
    }
    Validations.of(group).acknowledge({
      id: 'AwsSolutions-AS3',
      reason:
        'The kit alarms on what brokers and volumes report; a mail for each spot replacement would be noise.',
    });
    Validations.of(group).acknowledge({
      id: 'AwsSolutions::AwsSolutions-EC26',
      reason: 'The rule cannot read a group with mixed instances; the template encrypts its volume.',
    });
    return group;
  }
}

function machineImage(scope: Construct, { architecture, imageId }: BrokerFleetProps): IMachineImage {
  if (imageId !== undefined) return MachineImage.genericLinux({ [Stack.of(scope).region]: imageId });
  return MachineImage.latestAmazonLinux2023({
    cpuType: architecture === 'arm64' ? AmazonLinuxCpuType.ARM_64 : AmazonLinuxCpuType.X86_64,
  });
}
