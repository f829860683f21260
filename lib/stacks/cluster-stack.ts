import { CfnOutput, Stack, type StackProps } from 'aws-cdk-lib';
import { Peer, Port, SecurityGroup } from 'aws-cdk-lib/aws-ec2';
import { HostedZone, type IHostedZone, PrivateHostedZone } from 'aws-cdk-lib/aws-route53';
import type { Construct } from 'constructs';
import { acknowledgeWildcards, partitionInFindings } from '../constructs/acknowledge.ts';
import { BootstrapEndpoint } from '../constructs/bootstrap-endpoint.ts';
import { BrokerBundle } from '../constructs/broker-bundle.ts';
import { BrokerFleet, groupName } from '../constructs/broker-fleet.ts';
import { BrokerRole } from '../constructs/broker-role.ts';
import { importNetwork, type Network } from '../constructs/imported-network.ts';
import { StreamBucket } from '../constructs/stream-bucket.ts';
import { USER_DATA_MAX_BYTES, userDataScript } from '../constructs/user-data.ts';
import { type ResolvedEnvironment, slotsOf } from '../environment/resolve.ts';
import { type InstanceConfig, INTERNAL_PORT, LAUNCH_HOOK, TERMINATE_HOOK } from '../instance-contract.ts';

export interface ClusterStackProps extends StackProps {
  readonly environment: ResolvedEnvironment;
  /** @default - the environment's existing VPC */
  readonly network?: Network;
  /** The broker in one file: `npm run build` makes it. */
  readonly bundleFile: string;
}

/** What runs, and keeps nothing: brokers, their role, the bootstrap name. It can be deleted and made again. */
export class ClusterStack extends Stack {
  readonly fleet: BrokerFleet;
  readonly endpoint: BootstrapEndpoint;

  constructor(scope: Construct, id: string, props: ClusterStackProps) {
    super(scope, id, props);
    const { environment, bundleFile } = props;
    const network = props.network ?? importedNetwork(this, environment);
    const { name, zones, wal, dns, clients, instances, scaling, data } = environment;
    const groups = Object.fromEntries(zones.map((zone) => [zone, groupName(name, zone)]));
    const zone = this.#hostedZone(environment, network);
    const { role } = new BrokerRole(this, 'Role', {
      cluster: name,
      attachesVolumes: wal.kind === 'block-shared',
      hostedZoneId: zone.hostedZoneId,
      domain: dns.domain,
      groupNames: Object.values(groups),
      sessionManager: instances.sessionManager,
      secretArns: [clients.tls, environment.peerTls].flatMap((one) =>
        one === undefined ? [] : [one.secretArn],
      ),
    });
    StreamBucket.fromBucketName(this, 'Streams', data.bucketName).grantBroker(role);
    acknowledgeWildcards(role, {
      [`Resource::arn:${partitionInFindings(this)}:s3:::${data.bucketName}/*`]:
        'The cluster is everything in its bucket.',
    });
    const bundle = new BrokerBundle(this, 'Bundle', { file: bundleFile });
    bundle.grantRead(role);
    const brokers = new SecurityGroup(this, 'Brokers', {
      vpc: network.vpc,
      description: `Brokers of the Millrace cluster ${name}`,
    });
    brokers.addIngressRule(brokers, Port.tcp(INTERNAL_PORT), 'between brokers');
    // The load balancer answers the first question alone: after that clients connect to each broker by its own name.
    for (const range of clients.allowedCidrs) {
      brokers.addIngressRule(Peer.ipv4(range), Port.tcp(clients.port), 'Kafka clients');
    }
    const config: InstanceConfig = {
      cluster: name,
      region: this.region,
      bucket: data.bucketName,
      ...(data.generation > 0 ? { generation: data.generation } : {}),
      walKind: wal.kind,
      slots: slotsOf(environment),
      groups,
      launchHook: LAUNCH_HOOK,
      terminateHook: TERMINATE_HOOK,
      dns: { hostedZoneId: zone.hostedZoneId, domain: dns.domain },
      ...(clients.tls === undefined
        ? {}
        : {
            tls: {
              secretId: clients.tls.secretArn,
              clientCertificates: clients.tls.clientCertificates,
            },
          }),
      ...(environment.peerTls === undefined
        ? {}
        : { peerTls: { secretId: environment.peerTls.secretArn, name: environment.peerTls.name } }),
      port: clients.port,
      internalPort: INTERNAL_PORT,
      settings: environment.brokerSettings,
    };
    const userData = userDataScript({
      region: this.region,
      bundleBucket: bundle.bucketName,
      bundleKey: bundle.objectKey,
      bundleSha256: bundle.sha256,
      config,
    });
    const userDataBytes = Buffer.byteLength(
      this.resolve(userData) === userData ? userData : JSON.stringify(this.resolve(userData)),
    );
    if (userDataBytes > USER_DATA_MAX_BYTES) {
      throw new Error(
        `UserDataTooLarge: ${userDataBytes} bytes, allowed ${USER_DATA_MAX_BYTES} (EC2: user-data); use fewer slots or broker settings`,
      );
    }
    this.fleet = new BrokerFleet(this, 'Fleet', {
      cluster: name,
      vpc: network.vpc,
      zones: zones.map((one) => ({ name: one, subnets: network.subnetsOf(one) })),
      role,
      securityGroup: brokers,
      userData,
      architecture: instances.architecture,
      ...(instances.imageId === undefined ? {} : { imageId: instances.imageId }),
      instanceTypes: instances.types,
      onDemandBase: instances.onDemandBasePerZone,
      spotPercent: instances.spotPercent,
      minPerZone: scaling.minPerZone,
      maxPerZone: scaling.maxPerZone,
      schedule: scaling.schedule,
      ...(scaling.busyPercent === undefined ? {} : { busyPercent: scaling.busyPercent }),
    });
    this.endpoint = new BootstrapEndpoint(this, 'Bootstrap', {
      cluster: name,
      vpc: network.vpc,
      subnets: { subnets: zones.flatMap((one) => network.vpc.selectSubnets(network.subnetsOf(one)).subnets) },
      targets: [...this.fleet.groups.values()],
      brokers,
      port: clients.port,
      clients: clients.allowedCidrs,
      zone,
      domain: dns.domain,
    });
    new CfnOutput(this, 'BootstrapServers', { value: `${dns.domain}:${clients.port}` });
  }

  #hostedZone({ dns }: ResolvedEnvironment, network: Network): IHostedZone {
    if (dns.hostedZoneId === undefined) {
      return new PrivateHostedZone(this, 'Names', { zoneName: dns.domain, vpc: network.vpc });
    }
    const { hostedZoneId } = dns;
    return HostedZone.fromHostedZoneAttributes(this, 'Names', { hostedZoneId, zoneName: dns.domain });
  }
}

function importedNetwork(scope: Construct, { network, zones, name }: ResolvedEnvironment): Network {
  if ('vpcId' in network) return importNetwork(scope, zones, network);
  throw new Error(
    `ClusterNetworkMissing: the environment ${name} has no VPC to import; pass the network that was made`,
  );
}
