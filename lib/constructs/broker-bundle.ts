import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { Stack } from 'aws-cdk-lib';
import { Asset } from 'aws-cdk-lib/aws-s3-assets';
import { type IGrantable, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';

export interface BrokerBundleProps {
  /** The file that `npm run build` makes. */
  readonly file: string;
}

/** The broker in one file, published as an asset named after its content, and its checksum for the instance to verify. */
export class BrokerBundle extends Construct {
  readonly bucketName: string;
  readonly objectKey: string;
  /** Lower-case hexadecimal. */
  readonly sha256: string;

  constructor(scope: Construct, id: string, { file }: BrokerBundleProps) {
    super(scope, id);
    if (!existsSync(file)) {
      throw new Error(`BrokerBundleMissing: ${file} does not exist; build it first: npm run build`);
    }
    this.sha256 = createHash('sha256').update(readFileSync(file)).digest('hex');
    const asset = new Asset(this, 'Asset', { path: file });
    this.bucketName = asset.s3BucketName;
    this.objectKey = asset.s3ObjectKey;
  }

  grantRead(grantee: IGrantable): void {
    // The one object: the asset's own grant covers the whole bucket of assets.
    const arn = Stack.of(this).formatArn({
      service: 's3',
      region: '',
      account: '',
      resource: this.bucketName,
      resourceName: this.objectKey,
    });
    grantee.grantPrincipal.addToPrincipalPolicy(
      new PolicyStatement({ sid: 'Bundle', actions: ['s3:GetObject'], resources: [arn] }),
    );
  }
}
