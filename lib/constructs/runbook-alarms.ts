import {
  Alarm,
  type ComparisonOperator,
  type IMetric,
  type TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { Topic } from 'aws-cdk-lib/aws-sns';
import type { Construct } from 'constructs';

export interface AlarmSpec {
  readonly id: string;
  readonly name: string;
  /** What it means; each has a section of this name in docs/runbooks.md. */
  readonly says: string;
  /** Of the stack's own region: CloudWatch has no alarm on another region's metric. */
  readonly metric: IMetric;
  readonly threshold: number;
  readonly minutes: number;
  readonly when: ComparisonOperator;
  readonly missing: TreatMissingData;
}

/** One alarm for each spec, told to the topic (of the stack's own region) when there is one. By name. */
export function runbookAlarms(
  scope: Construct,
  specs: readonly AlarmSpec[],
  topicArn: string | undefined,
): ReadonlyMap<string, Alarm> {
  const topic = topicArn === undefined ? undefined : Topic.fromTopicArn(scope, 'Operators', topicArn);
  return new Map(
    specs.map((spec) => {
      const alarm = new Alarm(scope, spec.id, {
        alarmName: spec.name,
        alarmDescription: `${spec.says} Runbook: docs/runbooks.md`,
        metric: spec.metric,
        threshold: spec.threshold,
        evaluationPeriods: spec.minutes,
        comparisonOperator: spec.when,
        treatMissingData: spec.missing,
      });
      if (topic !== undefined) alarm.addAlarmAction(new SnsAction(topic));
      return [spec.name, alarm] as const;
    }),
  );
}
