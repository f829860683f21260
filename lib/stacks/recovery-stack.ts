import { Duration, Stack, type StackProps } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { StreamBucket } from '../constructs/stream-bucket.ts';
import type { ResolvedEnvironment } from '../environment/resolve.ts';

export interface RecoveryStackProps extends StackProps {
  readonly environment: ResolvedEnvironment;
}

/** Fixed, so that the first region's stack needs no reference into the second. */
export function replicaBucketName({ data }: ResolvedEnvironment): string {
  return `${data.bucketName.slice(0, 63 - '-replica'.length)}-replica`;
}

/** The second region: the bucket that the first one replicates to. Deployed before it. */
export class RecoveryStack extends Stack {
  readonly bucket: StreamBucket;

  constructor(scope: Construct, id: string, props: RecoveryStackProps) {
    super(scope, id, props);
    const { environment } = props;
    this.bucket = new StreamBucket(this, 'Replica', {
      bucketName: replicaBucketName(environment),
      noncurrentFor: Duration.days(environment.data.noncurrentDays),
      removal: environment.data.removal,
    });
  }
}
