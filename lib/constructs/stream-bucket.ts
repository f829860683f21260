import { Duration, RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import { Metric } from 'aws-cdk-lib/aws-cloudwatch';
import { AnyPrincipal, Effect, type IGrantable, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import {
  BlockPublicAccess,
  Bucket,
  type CfnBucket,
  BucketEncryption,
  type IBucket,
  ObjectOwnership,
  ReplicationTimeValue,
  StorageClass,
} from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import { acknowledgeWildcards, partitionInFindings } from './acknowledge.ts';

export interface StreamBucketProps {
  readonly bucketName: string;
  /** How long overwritten and deleted versions are kept: the way back from a mistake. @default 7 days */
  readonly noncurrentFor?: Duration;
  /** @default 'retain' */
  readonly removal?: 'retain' | 'destroy';
  /** A versioned bucket in another region. @default - none */
  readonly replica?: {
    readonly bucketName: string;
    readonly storageClass: 'STANDARD' | 'STANDARD_IA' | 'GLACIER_IR';
    /** 15 minutes for 99.9 % of objects, at a price. */
    readonly timeControl: boolean;
  };
}

export interface IStreamBucket {
  readonly bucket: Pick<IBucket, 'bucketArn' | 'bucketName' | 'arnForObjects'>;
  /** Reads, conditional writes, deletes and lists; nothing about the bucket itself, no version. */
  grantBroker(grantee: IGrantable): void;
}

/** The rule's name, which is a dimension of its metrics. */
export const REPLICATION_RULE_ID = 'second-region';

/**
 * Seconds that a replica is behind, the most of each minute. S3 tells it in the region of the *destination*
 * (S3: repl-metrics), which is `region` here.
 */
export function metricReplicationLatency(source: string, destination: string, region: string): Metric {
  return replicationMetric('ReplicationLatency', 'Maximum', source, destination).with({ region });
}

/** Copies that S3 gave up, in each minute. S3 tells it in the region of the *source* (S3: repl-metrics). */
export function metricReplicationFailures(source: string, destination: string): Metric {
  return replicationMetric('OperationsFailedReplication', 'Sum', source, destination);
}

function replicationMetric(
  metricName: string,
  statistic: string,
  source: string,
  destination: string,
): Metric {
  return new Metric({
    namespace: 'AWS/S3',
    metricName,
    dimensionsMap: { SourceBucket: source, DestinationBucket: destination, RuleId: REPLICATION_RULE_ID },
    statistic,
    period: Duration.minutes(1),
  });
}

const STORAGE_CLASSES = {
  STANDARD: new StorageClass('STANDARD'),
  STANDARD_IA: StorageClass.INFREQUENT_ACCESS,
  GLACIER_IR: StorageClass.GLACIER_INSTANT_RETRIEVAL,
} as const;

/**
 * The bucket that is the cluster: data objects, metadata log, leases. Versioned, private, TLS only. Brokers write
 * nothing without a condition (put-if-absent or compare-and-swap), and the bucket itself refuses a write that has none,
 * whoever asks (S3: conditional-writes-enforce).
 */
export class StreamBucket extends Construct implements IStreamBucket {
  /** One that another stack made: brokers can be granted it. */
  static fromBucketName(scope: Construct, id: string, bucketName: string): IStreamBucket {
    const bucket = Bucket.fromBucketName(scope, id, bucketName);
    return { bucket, grantBroker: (grantee) => grantBroker(bucket, grantee) };
  }

  readonly bucket: Bucket;

  constructor(scope: Construct, id: string, props: StreamBucketProps) {
    super(scope, id);
    const { bucketName, removal = 'retain', noncurrentFor = Duration.days(7), replica } = props;
    const bucket = new Bucket(this, 'Bucket', {
      bucketName,
      versioned: true,
      encryption: BucketEncryption.S3_MANAGED,
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      objectOwnership: ObjectOwnership.BUCKET_OWNER_ENFORCED,
      enforceSSL: true,
      minimumTLSVersion: 1.2,
      // A first deployment that fails takes its empty bucket along: the second one could not make it again.
      removalPolicy: removal === 'retain' ? RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE : RemovalPolicy.DESTROY,
      lifecycleRules: [
        {
          id: 'noncurrent-versions-and-leftovers',
          noncurrentVersionExpiration: noncurrentFor,
          expiredObjectDeleteMarker: true,
          abortIncompleteMultipartUploadAfter: Duration.days(1),
        },
      ],
      ...(replica === undefined
        ? {}
        : {
            replicationRules: [
              {
                destination: Bucket.fromBucketName(this, 'Replica', replica.bucketName),
                storageClass: STORAGE_CLASSES[replica.storageClass],
                metrics: ReplicationTimeValue.FIFTEEN_MINUTES,
                ...(replica.timeControl
                  ? { replicationTimeControl: ReplicationTimeValue.FIFTEEN_MINUTES }
                  : {}),
                deleteMarkerReplication: true,
                priority: 1,
                id: REPLICATION_RULE_ID,
              },
            ],
          }),
    });
    bucket.addToResourcePolicy(
      new PolicyStatement({
        sid: 'OnlyConditionalWrites',
        effect: Effect.DENY,
        principals: [new AnyPrincipal()],
        actions: ['s3:PutObject'],
        resources: [bucket.arnForObjects('*')],
        // Absent both: neither put-if-absent nor compare-and-swap.
        conditions: { Null: { 's3:if-none-match': 'true', 's3:if-match': 'true' } },
      }),
    );
    Validations.of(bucket).acknowledge({
      id: 'AwsSolutions-S1',
      reason:
        'Access logs of every segment upload would cost more than the data; CloudTrail data events are the user’s choice.',
    });
    if (replica !== undefined) {
      const objects = 'Replication copies every object of the one bucket into the other.';
      acknowledgeWildcards(bucket, {
        [`Resource::<${this.#logicalIdOf(bucket)}.Arn>/*`]: objects,
        [`Resource::arn:${partitionInFindings(this)}:s3:::${replica.bucketName}/*`]: objects,
      });
    }
    this.bucket = bucket;
  }

  #logicalIdOf(bucket: Bucket): string {
    const id: unknown = Stack.of(this).resolve(
      Stack.of(this).getLogicalId(bucket.node.defaultChild as CfnBucket),
    );
    return String(id);
  }

  /** Reads, conditional writes, deletes and lists; nothing about the bucket itself, no version. */
  grantBroker(grantee: IGrantable): void {
    grantBroker(this.bucket, grantee);
  }
}

function grantBroker(bucket: Pick<IBucket, 'bucketArn' | 'arnForObjects'>, grantee: IGrantable): void {
  grantee.grantPrincipal.addToPrincipalPolicy(
    new PolicyStatement({
      sid: 'Objects',
      actions: ['s3:GetObject', 's3:PutObject', 's3:DeleteObject'],
      resources: [bucket.arnForObjects('*')],
    }),
  );
  grantee.grantPrincipal.addToPrincipalPolicy(
    new PolicyStatement({ sid: 'Listing', actions: ['s3:ListBucket'], resources: [bucket.bucketArn] }),
  );
}
