import { type EC2Client, GetEbsDefaultKmsKeyIdCommand } from '@aws-sdk/client-ec2';
import type { Answer } from './finding.ts';

/** AWS's own, whose policy lets whoever may use EBS in the account use it. */
const AWS_MANAGED = 'alias/aws/ebs';

/** The key of the account's volumes, of WALs and of the disks that instances boot from: the kit names none itself. */
export async function defaultKey(client: EC2Client): Promise<Answer[]> {
  const { KmsKeyId = AWS_MANAGED } = await client.send(new GetEbsDefaultKmsKeyIdCommand());
  if (KmsKeyId === AWS_MANAGED) return [['ok', `volumes are encrypted with ${KmsKeyId}`]];
  return [
    [
      'warning',
      `volumes are encrypted with ${KmsKeyId}: without kms:CreateGrant for AWSServiceRoleForAutoScaling in its policy no instance ` +
        "launches, and without it for the brokers' role no volume attaches (EBS: encryption requirements)",
    ],
  ];
}
