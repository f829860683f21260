import { CfnDeletionPolicy, Duration, Tags } from 'aws-cdk-lib';
import { Metric } from 'aws-cdk-lib/aws-cloudwatch';
import { CfnVolume } from 'aws-cdk-lib/aws-ec2';
import { Construct } from 'constructs';
import { CLUSTER_TAG, NODE_ID_TAG } from '../instance-contract.ts';

export interface WalVolumesProps {
  /** The value of the tag by which instances find their volumes. */
  readonly cluster: string;
  /** A volume each; a volume cannot leave its zone. */
  readonly slots: readonly { readonly nodeId: number; readonly zone: string }[];
  /** GiB of each. */
  readonly sizeGiB: number;
  /** Of each; up to 1,000 a GiB. */
  readonly iops: number;
  /** @default - kept when the stack goes */
  readonly removal?: 'retain' | 'destroy';
}

/** 1 while a volume completes no I/O; by the minute (EBS: VolumeStalledIOCheck). */
export function metricStalledIo(volumeId: string): Metric {
  return new Metric({
    namespace: 'AWS/EBS',
    metricName: 'VolumeStalledIOCheck',
    dimensionsMap: { VolumeId: volumeId },
    statistic: 'Maximum',
    period: Duration.minutes(1),
  });
}

/**
 * The write-ahead logs: an encrypted io2 Multi-Attach volume for each slot. Instances attach them after boot, because no
 * launch template can (EBS: Multi-Attach); CloudFormation only makes them, and cannot change size or IOPS of a
 * Multi-Attach volume afterwards (use ModifyVolume).
 *
 * Made of the L1 construct: the L2 refuses more than 500 IOPS per GiB, io2 Block Express takes 1,000.
 */
export class WalVolumes extends Construct {
  /** By node id. */
  readonly volumeIds: ReadonlyMap<number, string>;

  constructor(scope: Construct, id: string, props: WalVolumesProps) {
    super(scope, id);
    const { cluster, slots, sizeGiB, iops, removal = 'retain' } = props;
    this.volumeIds = new Map(
      slots.map(({ nodeId, zone }) => {
        // The node id is in the logical id: a slot that is added or removed replaces no other slot's volume.
        const volume = new CfnVolume(this, `Node${nodeId}`, {
          availabilityZone: zone,
          volumeType: 'io2',
          size: sizeGiB,
          iops,
          multiAttachEnabled: true,
          encrypted: true,
        });
        // A deployment that fails halfway takes along what it made: a volume that stayed would be a second one of its node.
        const [deleted, replaced] =
          removal === 'retain'
            ? [CfnDeletionPolicy.RETAIN_EXCEPT_ON_CREATE, CfnDeletionPolicy.RETAIN]
            : [CfnDeletionPolicy.DELETE, CfnDeletionPolicy.DELETE];
        volume.cfnOptions.deletionPolicy = deleted;
        volume.cfnOptions.updateReplacePolicy = replaced;
        Tags.of(volume).add(CLUSTER_TAG, cluster);
        Tags.of(volume).add(NODE_ID_TAG, String(nodeId));
        Tags.of(volume).add('Name', `millrace-${cluster}-wal-${nodeId}`);
        return [nodeId, volume.ref] as const;
      }),
    );
  }

  /** Of a node's volume. */
  metricStalledIo(nodeId: number): Metric {
    const volumeId = this.volumeIds.get(nodeId);
    if (volumeId === undefined) throw new Error(`NoSuchSlot: there is no volume of node ${nodeId}`);
    return metricStalledIo(volumeId);
  }
}
