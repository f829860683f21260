import { Duration, Stack, type StackProps } from 'aws-cdk-lib';
import { ComparisonOperator, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import type { Construct } from 'constructs';
import { runbookAlarms } from '../constructs/runbook-alarms.ts';
import { metricReplicationLatency, StreamBucket } from '../constructs/stream-bucket.ts';
import type { ResolvedEnvironment } from '../environment/resolve.ts';

export interface RecoveryStackProps extends StackProps {
  readonly environment: ResolvedEnvironment;
  /** Of the environment. */
  readonly recovery: NonNullable<ResolvedEnvironment['recovery']>;
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
    const { environment, recovery } = props;
    this.bucket = new StreamBucket(this, 'Replica', {
      bucketName: recovery.bucketName,
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
          metric: metricReplicationLatency(environment.data.bucketName, recovery.bucketName, recovery.region),
          threshold: REPLICATION_LAG_SECONDS,
          minutes: 5,
          when: ComparisonOperator.GREATER_THAN_THRESHOLD,
          // Nothing written is nothing to copy, and no metric.
          missing: TreatMissingData.NOT_BREACHING,
        },
      ],
      recovery.alarmTopicArn,
    );
  }
}
