import { Duration, Stack, type StackProps } from 'aws-cdk-lib';
import { ComparisonOperator, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import type { Construct } from 'constructs';
import { runbookAlarms } from '../constructs/runbook-alarms.ts';
import { metricReplicationLatency, StreamBucket } from '../constructs/stream-bucket.ts';
import type { ResolvedEnvironment } from '../environment/resolve.ts';

export interface RecoveryStackProps extends StackProps {
  readonly environment: ResolvedEnvironment;
}

/** Fixed, so that the first region's stack needs no reference into the second. */
export function replicaBucketName({ data }: ResolvedEnvironment): string {
  return `${data.bucketName.slice(0, 63 - '-replica'.length)}-replica`;
}

/** A second region that is this far behind is not the recovery that was promised. */
const REPLICATION_LAG_SECONDS = 900;

/**
 * The second region: the bucket that the first one replicates to, and the alarm on how far it is behind. Deployed before
 * the first one's.
 */
export class RecoveryStack extends Stack {
  readonly bucket: StreamBucket;

  constructor(scope: Construct, id: string, props: RecoveryStackProps) {
    super(scope, id, props);
    const { environment } = props;
    const bucketName = replicaBucketName(environment);
    this.bucket = new StreamBucket(this, 'Replica', {
      bucketName,
      noncurrentFor: Duration.days(environment.data.noncurrentDays),
      removal: environment.data.removal,
    });
    runbookAlarms(
      this,
      [
        {
          id: 'ReplicationLag',
          name: `millrace-${environment.name}-replication-lag`,
          says: 'The second region is more than 15 minutes behind.',
          metric: metricReplicationLatency(environment.data.bucketName, bucketName, this.region),
          threshold: REPLICATION_LAG_SECONDS,
          minutes: 5,
          when: ComparisonOperator.GREATER_THAN_THRESHOLD,
          // Nothing written is nothing to copy, and no metric.
          missing: TreatMissingData.NOT_BREACHING,
        },
      ],
      environment.recovery?.alarmTopicArn,
    );
  }
}
