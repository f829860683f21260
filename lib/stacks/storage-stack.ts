import { Duration, Stack, type StackProps } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { type IStreamBucket, StreamBucket } from '../constructs/stream-bucket.ts';
import { WalVolumes } from '../constructs/wal-volumes.ts';
import { type ResolvedEnvironment, slotsOf } from '../environment/resolve.ts';

export interface StorageStackProps extends StackProps {
  readonly environment: ResolvedEnvironment;
}

/** Everything that holds data: it changes rarely, and other stacks know it by name and tag, never by reference. */
export class StorageStack extends Stack {
  readonly bucket: IStreamBucket;
  /** Undefined with the object WAL. */
  readonly volumes: WalVolumes | undefined;

  constructor(scope: Construct, id: string, props: StorageStackProps) {
    super(scope, id, props);
    const { environment } = props;
    const { name, data, recovery, wal } = environment;
    this.bucket =
      data.generation > 0
        ? StreamBucket.fromBucketName(this, 'Streams', data.bucketName)
        : new StreamBucket(this, 'Streams', {
            bucketName: data.bucketName,
            noncurrentFor: Duration.days(data.noncurrentDays),
            removal: data.removal,
            ...(recovery === undefined
              ? {}
              : {
                  replica: {
                    bucketName: recovery.bucketName,
                    storageClass: recovery.storageClass,
                    timeControl: recovery.replicationTimeControl,
                  },
                }),
          });
    this.volumes =
      wal.kind === 'object'
        ? undefined
        : new WalVolumes(this, 'Wal', {
            cluster: name,
            slots: slotsOf(environment),
            sizeGiB: wal.sizeGiB,
            iops: wal.iops,
            removal: data.removal,
          });
  }
}
