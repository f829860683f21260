import { Stack, type StackProps, Tags, Validations } from 'aws-cdk-lib';
import {
  GatewayVpcEndpointAwsService,
  InterfaceVpcEndpointAwsService,
  IpAddresses,
  type IVpc,
  SubnetType,
  type SubnetSelection,
  Subnet,
  Vpc,
} from 'aws-cdk-lib/aws-ec2';
import type { Construct } from 'constructs';
import type { ResolvedEnvironment } from '../environment/resolve.ts';

export interface NetworkStackProps extends StackProps {
  readonly environment: ResolvedEnvironment;
}

/** Of /16 to /20: room for some hundred instances in each zone. */
const SUBNET_MASK = 24;

/**
 * A VPC of three private zones with one NAT gateway a zone for what has no endpoint (Route 53, package repositories beyond S3),
 * a gateway endpoint for S3 (free, carries all data), and interface endpoints for the calls that a failover needs. With an
 * existing VPC nothing is made here.
 */
export class NetworkStack extends Stack {
  readonly vpc: IVpc;
  readonly #zones: readonly string[];
  readonly #selections: ReadonlyMap<string, SubnetSelection>;

  constructor(scope: Construct, id: string, props: NetworkStackProps) {
    super(scope, id, props);
    const { network, zones, name } = props.environment;
    this.#zones = zones;
    if ('vpcId' in network) {
      this.vpc = Vpc.fromVpcAttributes(this, 'Vpc', {
        vpcId: network.vpcId,
        vpcCidrBlock: network.vpcCidr,
        availabilityZones: [...zones],
      });
      this.#selections = new Map(
        zones.map((zone) => {
          const subnetId = network.subnetIds[zone] ?? '';
          const subnet = Subnet.fromSubnetAttributes(this, `Subnet-${zone}`, {
            subnetId,
            availabilityZone: zone,
          });
          Validations.of(subnet).acknowledge({
            id: 'Annotation::@aws-cdk/aws-ec2:noSubnetRouteTableId',
            reason: 'Nothing here asks for the route table of a subnet that is the user’s.',
          });
          return [zone, { subnets: [subnet] }];
        }),
      );
      return;
    }
    const vpc = new Vpc(this, 'Vpc', {
      vpcName: `millrace-${name}`,
      ipAddresses: IpAddresses.cidr(network.cidr),
      availabilityZones: [...zones],
      restrictDefaultSecurityGroup: false,
      subnetConfiguration: [
        { name: 'brokers', subnetType: SubnetType.PRIVATE_WITH_EGRESS, cidrMask: SUBNET_MASK },
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
    this.#selections = new Map(
      zones.map((zone) => [zone, { subnetGroupName: 'brokers', availabilityZones: [zone] }]),
    );
  }

  /** What the environment says: looking it up would need credentials. */
  override get availabilityZones(): string[] {
    return [...this.#zones];
  }

  /** The private subnet of a zone. */
  subnetsOf(zone: string): SubnetSelection {
    return this.#selections.get(zone) ?? {};
  }
}
