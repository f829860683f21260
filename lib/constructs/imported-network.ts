import { Validations } from 'aws-cdk-lib';
import { type IVpc, Subnet, type SubnetSelection, Vpc } from 'aws-cdk-lib/aws-ec2';
import type { Construct } from 'constructs';
import type { ExistingNetwork } from '../environment/environment.ts';

/** A VPC with one private subnet in each zone: made by the kit, or the user's own. */
export interface Network {
  readonly vpc: IVpc;
  /** The private subnet of a zone. */
  subnetsOf(zone: string): SubnetSelection;
}

/** The user's own VPC, known by ids alone: a lookup would need credentials. */
export function importNetwork(scope: Construct, zones: readonly string[], network: ExistingNetwork): Network {
  const vpc = Vpc.fromVpcAttributes(scope, 'Vpc', {
    vpcId: network.vpcId,
    vpcCidrBlock: network.vpcCidr,
    availabilityZones: [...zones],
  });
  const selections = new Map(
    zones.map((zone) => {
      const subnetId = network.subnetIds[zone] ?? '';
      const subnet = Subnet.fromSubnetAttributes(scope, `Subnet-${zone}`, {
        subnetId,
        availabilityZone: zone,
      });
      Validations.of(subnet).acknowledge({
        id: 'Annotation::@aws-cdk/aws-ec2:noSubnetRouteTableId',
        reason: 'Nothing here asks for the route table of a subnet that is the user’s.',
      });
      return [zone, { subnets: [subnet] }] as const;
    }),
  );
  return { vpc, subnetsOf: (zone) => selections.get(zone) ?? {} };
}
