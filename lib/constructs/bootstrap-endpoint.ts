import { Duration, Validations } from 'aws-cdk-lib';
import { type IVpc, Peer, Port, SecurityGroup, type SubnetSelection } from 'aws-cdk-lib/aws-ec2';
import type { AutoScalingGroup } from 'aws-cdk-lib/aws-autoscaling';
import { ClientRoutingPolicy, NetworkLoadBalancer, Protocol } from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import { ARecord, type IHostedZone, RecordTarget } from 'aws-cdk-lib/aws-route53';
import { LoadBalancerTarget } from 'aws-cdk-lib/aws-route53-targets';
import { Construct } from 'constructs';

export interface BootstrapEndpointProps {
  readonly cluster: string;
  readonly vpc: IVpc;
  readonly subnets: SubnetSelection;
  readonly targets: readonly AutoScalingGroup[];
  readonly brokers: SecurityGroup;
  readonly port: number;
  /** IPv4 ranges, for the load balancer; `brokers` opens itself to them. */
  readonly clients: readonly string[];
  readonly zone: IHostedZone;
  readonly domain: string;
}

/**
 * The one name that clients start with: an internal network load balancer over all brokers, and an alias to it. Clients use it
 * to find the brokers, then connect to those by their own names, so it carries next to nothing.
 *
 *   cross-zone     on: a client may resolve the address of a zone that has no broker at the moment
 *   client IP      not preserved: a broker that is its own client would be answered past the balancer
 *   idle timeout   350 s, the balancer's own, below Kafka's connections.max.idle.ms of 9 to 10 minutes; a bootstrap connection
 *                  that is cut is opened again by clients without an error
 */
export class BootstrapEndpoint extends Construct {
  readonly loadBalancer: NetworkLoadBalancer;

  constructor(scope: Construct, id: string, props: BootstrapEndpointProps) {
    super(scope, id);
    const { cluster, vpc, subnets, targets, brokers, port, clients, zone, domain } = props;
    const group = new SecurityGroup(this, 'Clients', {
      vpc,
      description: `Clients of the Millrace cluster ${cluster}`,
      allowAllOutbound: false,
    });
    for (const range of clients) group.addIngressRule(Peer.ipv4(range), Port.tcp(port), 'Kafka clients');
    group.connections.allowTo(brokers, Port.tcp(port), 'bootstrap and health checks');
    this.loadBalancer = new NetworkLoadBalancer(this, 'LoadBalancer', {
      vpc,
      vpcSubnets: subnets,
      internetFacing: false,
      crossZoneEnabled: true,
      securityGroups: [group],
      clientRoutingPolicy: ClientRoutingPolicy.AVAILABILITY_ZONE_AFFINITY,
    });
    const listener = this.loadBalancer.addListener('Kafka', { port, protocol: Protocol.TCP });
    listener.addTargets('Brokers', {
      port,
      protocol: Protocol.TCP,
      targets: [...targets],
      preserveClientIp: false,
      deregistrationDelay: Duration.seconds(30),
      healthCheck: {
        protocol: Protocol.TCP,
        interval: Duration.seconds(10),
        healthyThresholdCount: 2,
        unhealthyThresholdCount: 2,
      },
    });
    new ARecord(this, 'Name', {
      zone,
      recordName: `${domain}.`,
      target: RecordTarget.fromAlias(new LoadBalancerTarget(this.loadBalancer)),
    });
    Validations.of(this.loadBalancer).acknowledge({
      id: 'AwsSolutions-ELB2',
      reason: 'Access logs of a network load balancer exist for TLS listeners only.',
    });
  }
}
