import type { Environment } from '../environment.ts';
import { LIMITS } from '../limits.ts';
import { type Checks, REGION } from './checks.ts';

/** What is kept, where its copy is, and who hears of trouble with it. */
export function checkData({ environment, report, within, matches }: Checks): void {
  const { name, region, data = {}, recovery, alarms } = environment;
  within('NoncurrentDays', 'data.noncurrentDays', data.noncurrentDays, LIMITS.noncurrentDays);
  if (data.bucketName !== undefined) {
    matches(
      'BucketName',
      'data.bucketName',
      data.bucketName,
      /^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/,
      '3 to 63 of a to z, 0 to 9 and -',
      'choose another name, or leave it out',
    );
  }
  if (data.removal === 'destroy' && data.confirmDestroy !== name) {
    report(
      'DestroyUnconfirmed',
      'data.confirmDestroy',
      data.confirmDestroy,
      JSON.stringify(name),
      'data goes with the stack only when both keys say so: write the name, or remove `removal`',
    );
  }
  if (data.promoted !== undefined) checkPromoted(data.promoted.generation, environment, report);
  if (recovery !== undefined) {
    matches(
      'RecoveryRegion',
      'recovery.region',
      recovery.region,
      REGION,
      'a region such as us-west-2',
      'see `aws ec2 describe-regions`',
    );
    if (recovery.region === region) {
      report(
        'RecoveryRegionSame',
        'recovery.region',
        recovery.region,
        'another region',
        'a copy in the same region is lost with it',
      );
    }
  }
  const checkTopic = (field: string, topicArn: string, where: string) => {
    matches(
      'AlarmTopic',
      field,
      topicArn,
      new RegExp(`^arn:aws[a-z-]*:sns:${where}:\\d{12}:.+$`),
      `the ARN of an SNS topic in ${where}`,
      'make one there, or leave it out',
    );
  };
  if (alarms !== undefined) checkTopic('alarms.topicArn', alarms.topicArn, region);
  if (recovery?.alarmTopicArn !== undefined) {
    checkTopic('recovery.alarmTopicArn', recovery.alarmTopicArn, recovery.region);
  }
}

/** A bucket that another stack made: this one can name it and no more. */
function checkPromoted(generation: number, { data, recovery }: Environment, report: Checks['report']): void {
  if (!Number.isInteger(generation) || generation < 1) {
    report(
      'Generation',
      'data.promoted.generation',
      generation,
      'a whole number from 1 on',
      'the one that `millrace promote` said',
    );
  }
  if (data?.bucketName === undefined) {
    report('PromotedBucket', 'data.bucketName', undefined, 'the name of the promoted bucket', 'write it');
  }
  if (recovery !== undefined) {
    report(
      'PromotedRecovery',
      'recovery',
      recovery.region,
      'none with data.promoted',
      'the bucket belongs to the stack that made it: set its replication there or by hand',
    );
  }
}
