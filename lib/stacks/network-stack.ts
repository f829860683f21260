import { Stack, type StackProps, Tags, Validations } from 'aws-cdk-lib';
import {
  GatewayVpcEndpointAwsService,
  InterfaceVpcEndpointAwsService,
  IpAddresses,
  type IVpc,
  SubnetType,
  type SubnetSelection,
  Vpc,
} from 'aws-cdk-lib/aws-ec2';
import type { Construct } from 'constructs';
import type { Network } from '../constructs/imported-network.ts';
import type { ResolvedEnvironment } from '../environment/resolve.ts';

export interface NetworkStackProps extends StackProps {
  readonly environment: ResolvedEnvironment;
  /** IPv4, /16 to /20: room for some hundred instances in each zone. */
  readonly cidr: string;
}

const SUBNETS = 'brokers';
const SUBNET_MASK = 24;

/**
 * A VPC of three private zones with one NAT gateway a zone for what has no endpoint (Route 53, package repositories beyond S3),
 * a gateway endpoint for S3 (free, carries all data), and interface endpoints for the calls that a failover needs. An existing
 * VPC is imported instead.
 */
export class NetworkStack extends Stack implements Network {
  readonly vpc: IVpc;
  readonly #zones: readonly string[];

  constructor(scope: Construct, id: string, props: NetworkStackProps) {
    super(scope, id, props);
    const { cidr, environment } = props;
    const { zones, name } = environment;
    this.#zones = zones;
    const vpc = new Vpc(this, 'Vpc', {
      vpcName: `millrace-${name}`,
      ipAddresses: IpAddresses.cidr(cidr),
      availabilityZones: [...zones],
      restrictDefaultSecurityGroup: false,
      subnetConfiguration: [
        { name: SUBNETS, subnetType: SubnetType.PRIVATE_WITH_EGRESS, cidrMask: SUBNET_MASK },
        { name: 'nat', subnetType: SubnetType.PUBLIC, cidrMask: 28, mapPublicIpOnLaunch: false },
      ],
      gatewayEndpoints: { S3: { service: GatewayVpcEndpointAwsService.S3 } },
    });
    for (const [endpoint, service] of [
      ['Ec2', InterfaceVpcEndpointAwsService.EC2],
      ['AutoScaling', InterfaceVpcEndpointAwsService.AUTOSCALING],
    ] as const) {
      const made = vpc.addInterfaceEndpoint(endpoint, { service, privateDnsEnabled: true });
      Validations.of(made).acknowledge({
        id: 'AwsSolutions::AwsSolutions-EC23',
        reason:
          'The rule cannot read the range of a VPC that is made here; the endpoint is open to that range alone.',
      });
    }
    Tags.of(vpc).add('Name', `millrace-${name}`);
    Validations.of(vpc).acknowledge({
      id: 'AwsSolutions-VPC7',
      reason:
        'Flow logs of all broker traffic cost more than the cluster; turn them on where they are wanted.',
    });
    // Vpc implements it; CDK's own types do not hold under exactOptionalPropertyTypes.
    this.vpc = vpc as IVpc;
  }

  /** What the environment says: looking it up would need credentials. */
  override get availabilityZones(): string[] {
    return [...this.#zones];
  }

  /** The private subnet of a zone. */
  subnetsOf(zone: string): SubnetSelection {
    return { subnetGroupName: SUBNETS, availabilityZones: [zone] };
  }
}
