import { Stack, Validations } from 'aws-cdk-lib';
import {
  type IManagedPolicy,
  ManagedPolicy,
  PermissionsBoundary,
  PolicyStatement,
  Role,
  ServicePrincipal,
} from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { acknowledgeWildcards, partitionInFindings } from './acknowledge.ts';
import { CLUSTER_TAG, METRIC_NAMESPACE } from '../instance-contract.ts';

const SESSION_MANAGER = 'AmazonSSMManagedInstanceCore';

export interface BrokerRoleProps {
  readonly cluster: string;
  /** Whose volume calls are allowed; with the object WAL there are none. */
  readonly attachesVolumes: boolean;
  readonly hostedZoneId: string;
  /** The domain below which brokers write their names. */
  readonly domain: string;
  readonly groupNames: readonly string[];
  /** Certificates and keys, of the client listener and of brokers among themselves. @default - none */
  readonly secretArns?: readonly string[];
  /** Lets operators in. @default false */
  readonly sessionManager?: boolean;
  /** @default - none */
  readonly permissionsBoundaryArn?: string;
}

/**
 * What an instance may do, and nothing else: attach the cluster's volumes to the cluster's instances, write names below its
 * domain, finish its own groups' hooks. The bucket and the bundle grant themselves.
 */
export class BrokerRole extends Construct {
  readonly role: Role;

  constructor(scope: Construct, id: string, props: BrokerRoleProps) {
    super(scope, id);
    const { cluster, attachesVolumes, hostedZoneId, domain, groupNames } = props;
    const { secretArns = [], sessionManager = false, permissionsBoundaryArn } = props;
    const { partition, account, region } = Stack.of(this);
    const volumesAndInstances = (of: string): string[] =>
      ['volume', 'instance'].map((kind) => `arn:${of}:ec2:${region}:${account}:${kind}/*`);
    const groupArn = (of: string, name: string): string =>
      `arn:${of}:autoscaling:${region}:${account}:autoScalingGroup:*:autoScalingGroupName/${name}`;
    this.role = new Role(this, 'Role', {
      assumedBy: new ServicePrincipal('ec2.amazonaws.com'),
      description: `Brokers of the Millrace cluster ${cluster}`,
    });
    if (permissionsBoundaryArn !== undefined) {
      const boundary: IManagedPolicy = ManagedPolicy.fromManagedPolicyArn(
        this,
        'Boundary',
        permissionsBoundaryArn,
      );
      PermissionsBoundary.of(this.role).apply(boundary);
    }
    if (sessionManager) {
      this.role.addManagedPolicy(ManagedPolicy.fromAwsManagedPolicyName(SESSION_MANAGER));
      Validations.of(this.role).acknowledge({
        id: `AwsSolutions::AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/${SESSION_MANAGER}]`,
        reason: 'What AWS asks for Session Manager, where the environment asked for it.',
      });
    }
    const ofCluster = { StringEquals: { [`aws:ResourceTag/${CLUSTER_TAG}`]: cluster } };
    const describes = attachesVolumes
      ? ['ec2:DescribeVolumes', 'ec2:DescribeInstances']
      : ['ec2:DescribeInstances'];
    this.role.addToPolicy(new PolicyStatement({ sid: 'See', actions: describes, resources: ['*'] }));
    if (attachesVolumes) {
      this.role.addToPolicy(
        new PolicyStatement({
          sid: 'AttachOurVolumes',
          actions: ['ec2:AttachVolume'],
          resources: volumesAndInstances(partition),
          conditions: ofCluster,
        }),
      );
    }
    this.role.addToPolicy(
      new PolicyStatement({
        sid: 'FinishHooks',
        actions: ['autoscaling:CompleteLifecycleAction', 'autoscaling:SetInstanceHealth'],
        resources: groupNames.map((name) => groupArn(partition, name)),
      }),
    );
    this.role.addToPolicy(
      new PolicyStatement({
        sid: 'TellTheLoad',
        actions: ['cloudwatch:PutMetricData'],
        // Metrics have no ARN (IAM: CloudWatch actions); the namespace is what bounds it.
        resources: ['*'],
        conditions: { StringEquals: { 'cloudwatch:namespace': METRIC_NAMESPACE } },
      }),
    );
    if (secretArns.length > 0) {
      this.role.addToPolicy(
        new PolicyStatement({
          sid: 'ReadTheCertificates',
          actions: ['secretsmanager:GetSecretValue'],
          resources: [...secretArns],
        }),
      );
    }
    this.role.addToPolicy(
      new PolicyStatement({
        sid: 'WriteOurNames',
        actions: ['route53:ChangeResourceRecordSets'],
        resources: [`arn:${partition}:route53:::hostedzone/${hostedZoneId}`],
        conditions: {
          'ForAllValues:StringLike': {
            'route53:ChangeResourceRecordSetsNormalizedRecordNames': [`b*.${domain}`],
          },
          'ForAllValues:StringEquals': { 'route53:ChangeResourceRecordSetsRecordTypes': ['A'] },
        },
      }),
    );
    acknowledgeWildcards(this.role, {
      'Resource::*': 'Describe calls know no resources (IAM: EC2 actions).',
      ...Object.fromEntries(
        volumesAndInstances(partitionInFindings(this)).map((arn) => [
          `Resource::${arn}`,
          'Bound to the cluster by the tag in the condition.',
        ]),
      ),
      ...Object.fromEntries(
        groupNames.map((name) => [
          `Resource::${groupArn(partitionInFindings(this), name)}`,
          'The wildcard is the id that AWS gives a group; its name is ours.',
        ]),
      ),
    });
  }
}
