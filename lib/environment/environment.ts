/**
 * One environment: everything the stacks, the local twin, the cost table and the drills need to know. A user copies a file
 * of `environments/`, changes what is theirs, and nothing else has parameters.
 *
 * Sizes are per zone or per slot, never totals, so that an added zone or slot changes nothing else.
 */
export interface Environment {
  /** Lower-case letters, digits and dashes, up to 20: stacks, buckets and names in DNS begin with it. */
  readonly name: string;
  /**
   * `prod` refuses what is weak: data that a deleted stack takes along, no second region, nobody who hears alarms.
   * @default 'dev'
   */
  readonly tier?: 'dev' | 'prod';
  /** Twelve digits. Written out, so that `cdk synth` needs neither credentials nor lookups. */
  readonly account: string;
  readonly region: string;
  /** At least three zones of the region, by name. A zone id differs between accounts, a name is what this account says. */
  readonly zones: readonly string[];
  /**
   * Slots of each zone: a slot is a node id with its WAL volume, claimed by an instance at boot. Two let a neighbour take
   * over at once; with one, the log of a failed broker waits for the replacement instance.
   * @default 2
   */
  readonly slotsPerZone?: number;
  /** @default - arm64, t4g.medium in dev and m7g.large and its like in prod */
  readonly instances?: InstanceOptions;
  /** @default - block-shared, 8 GiB, 500 IOPS */
  readonly wal?: WalOptions;
  /** @default - a bucket named after environment, account and region, kept when the stack goes */
  readonly data?: DataOptions;
  /** The second region. @default - none; prod needs one */
  readonly recovery?: RecoveryOptions;
  /** @default - a new VPC, 10.60.0.0/16 */
  readonly network?: NewNetwork | ExistingNetwork;
  /** @default - a private zone, NAME.millrace.internal */
  readonly dns?: DnsOptions;
  readonly clients: ClientOptions;
  /** TLS between brokers. @default - plaintext within their security group; prod needs it */
  readonly peerTls?: PeerTlsOptions;
  /** @default - no changes of size by themselves */
  readonly scaling?: ScalingOptions;
  /** @default - alarms are made and tell nobody; prod needs somebody */
  readonly alarms?: AlarmOptions;
  /** Of every resource. @default - only the kit's own */
  readonly tags?: Readonly<Record<string, string>>;
  /** Policy that bounds every role of the kit. @default - none */
  readonly permissionsBoundaryArn?: string;
  /** Kafka broker settings by their Kafka names, such as `num.partitions`. @default - the broker's */
  readonly brokerSettings?: Readonly<Record<string, string>>;
}

export type Architecture = 'arm64' | 'x86_64';

export interface InstanceOptions {
  /** @default 'arm64' */
  readonly architecture?: Architecture;
  /**
   * Nitro types of that architecture, the wanted ones first. Several make spot capacity likelier.
   * @default - by tier
   */
  readonly types?: readonly string[];
  /**
   * Amazon Linux 2023 of that architecture, by the id of its image in the region. Pinned, an instance that is replaced tonight boots what
   * was tried; packages come in the versions of the image, too.
   * @default - the newest at each deployment
   */
  readonly imageId?: string;
  /** Instances of each zone that are never spot. @default 0 */
  readonly onDemandBasePerZone?: number;
  /** Of the instances above the base. @default 100 */
  readonly spotPercent?: number;
  /**
   * Lets operators in through Session Manager: the role gets AmazonSSMManagedInstanceCore, which may read parameters of the
   * account as well. @default false, and nobody gets in
   */
  readonly sessionManager?: boolean;
}

export interface WalOptions {
  /**
   * `block-shared`: io2 Multi-Attach volumes, about a millisecond, and the loss of a zone loses what is not uploaded yet.
   * `object`: in the bucket, tens of milliseconds, a zone loss loses nothing.
   * @default 'block-shared'
   */
  readonly kind?: 'block-shared' | 'object';
  /** Of each slot's volume. @default 8 */
  readonly sizeGiB?: number;
  /** Of each slot's volume; this is what io2 costs. @default 500 */
  readonly iops?: number;
}

export interface DataOptions {
  /** @default - millrace-NAME-ACCOUNT-REGION */
  readonly bucketName?: string;
  /**
   * The bucket is there already: the copy of a lost region's, made a cluster by `millrace promote`. It stays with the stack
   * that made it. Needs `bucketName`. @default - a new bucket
   */
  readonly promoted?: {
    /** What `millrace promote` said. */
    readonly generation: number;
  };
  /** Days that overwritten and deleted versions of objects are kept, and paid for. @default 7 */
  readonly noncurrentDays?: number;
  /** What becomes of bucket and volumes when their stack is deleted. @default 'retain' */
  readonly removal?: 'retain' | 'destroy';
  /** The second key: `destroy` needs the environment's name here, else it is an error. @default - none */
  readonly confirmDestroy?: string;
}

export interface RecoveryOptions {
  readonly region: string;
  /**
   * Of the replica. The others are billed for 30 and 90 days at least and pay from about 40 days of retention on
   * (`millrace cost` shows it). @default 'STANDARD'
   */
  readonly storageClass?: 'STANDARD' | 'STANDARD_IA' | 'GLACIER_IR';
  /** Replication Time Control: 15 minutes for 99.9 % of objects, at a price. @default false */
  readonly replicationTimeControl?: boolean;
  /**
   * Of an SNS topic in this region: S3 tells the lag of replication where the replica is, and an alarm speaks only to
   * topics of its own region. @default - the alarm is there, and nobody hears it
   */
  readonly alarmTopicArn?: string;
}

export interface NewNetwork {
  /** /16 to /20, private. @default '10.60.0.0/16' */
  readonly cidr?: string;
}

export interface ExistingNetwork {
  readonly vpcId: string;
  readonly vpcCidr: string;
  /** One private subnet of each zone, by zone name. They need a way to S3, EC2, Auto Scaling and Route 53. */
  readonly subnetIds: Readonly<Record<string, string>>;
}

export interface DnsOptions {
  /** The bootstrap name is this, brokers are `b1.` and so on below it. */
  readonly domain: string;
  /** Of an existing zone that holds `domain`. @default - a new private zone is made */
  readonly hostedZoneId?: string;
}

export interface ClientOptions {
  /** Who may connect, IPv4 ranges within the VPC or peered with it. */
  readonly allowedCidrs: readonly string[];
  /** @default 9092 */
  readonly port?: number;
  /** TLS with clients, and who they are by their certificates. @default - plaintext, which has to be accepted; prod needs TLS */
  readonly tls?: TlsOptions;
  /** `true` says that the network is trusted: without `tls` nothing is encrypted and nobody asked who they are. @default false */
  readonly acceptPlaintext?: boolean;
}

export interface TlsOptions {
  /**
   * A secret of AWS Secrets Manager in the same region: JSON with the PEM texts `certificate` (for the domain and all names one
   * level below it), `privateKey` and `clientAuthorities`. Brokers take a new version within ten minutes.
   */
  readonly secretArn: string;
  /** `required`: only clients with a certificate of the secret's authorities get in. @default 'required' */
  readonly clientCertificates?: 'required' | 'none';
}

export interface PeerTlsOptions {
  /**
   * A secret of AWS Secrets Manager in the same region: JSON with the PEM texts `certificate` (for the name
   * NAME.brokers.millrace.internal, NAME being the environment's), `privateKey` and `authorities`. Another authority than
   * the clients': whoever it signs for with that name is a broker. All brokers start with it or none does.
   */
  readonly secretArn: string;
}

export interface ScalingOptions {
  /** Instances per zone that always run. @default - slotsPerZone */
  readonly minPerZone?: number;
  /** At most one for each slot. @default - slotsPerZone */
  readonly maxPerZone?: number;
  /** Changes at fixed times. @default - none */
  readonly schedule?: readonly ScheduledSize[];
  /**
   * Keeps the brokers of a zone this busy on average, between the minimum and the maximum: of the one thread that a broker is,
   * which is full while the machine's other cores are idle. @default - none
   */
  readonly busyPercent?: number;
}

export interface ScheduledSize {
  /** Letters, digits and dashes. */
  readonly name: string;
  /** Five fields, UTC: minute hour day month weekday. */
  readonly cron: string;
  readonly perZone: number;
}

export interface AlarmOptions {
  /** An SNS topic in the same region. */
  readonly topicArn: string;
}
