import { Duration, Stack, type StackProps } from 'aws-cdk-lib';
import {
  type Alarm,
  ComparisonOperator,
  Dashboard,
  GraphWidget,
  MathExpression,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import type { Construct } from 'constructs';
import {
  metricBrokersInService,
  metricBusyPercent,
  metricCertificateDaysLeft,
  metricWalFullPercent,
} from '../constructs/broker-fleet.ts';
import { type AlarmSpec, runbookAlarms } from '../constructs/runbook-alarms.ts';
import { metricReplicationFailures, metricReplicationLatency } from '../constructs/stream-bucket.ts';
import { metricStalledIo } from '../constructs/wal-volumes.ts';
import type { ResolvedEnvironment } from '../environment/resolve.ts';
import { CERTIFICATE_ENDS_SOON_DAYS } from '../instance-contract.ts';
import type { StorageStack } from './storage-stack.ts';

export interface ObservabilityStackProps extends StackProps {
  readonly environment: ResolvedEnvironment;
  readonly storage: StorageStack;
}

/** The alarm that stops every experiment: a zone without brokers. */
export function stopAlarmName({ name }: ResolvedEnvironment): string {
  return `millrace-${name}-zone-without-brokers`;
}

const MINUTE = Duration.minutes(1);
/** What is left takes a minute or two of writing. */
const WAL_FULL_PERCENT = 80;

/** Alarms on what AWS itself reports, each with a runbook, and a dashboard of the same metrics. */
export class ObservabilityStack extends Stack {
  readonly alarms: ReadonlyMap<string, Alarm>;

  constructor(scope: Construct, id: string, props: ObservabilityStackProps) {
    super(scope, id, props);
    const { environment, storage } = props;
    const { name, alarmTopicArn, data, recovery } = environment;
    const specs = [
      ...zoneAlarms(environment),
      ...volumeAlarms(environment, storage),
      ...certificateAlarms(environment),
      ...bucketAlarms(environment),
    ];
    this.alarms = runbookAlarms(this, specs, alarmTopicArn);
    new Dashboard(this, 'Dashboard', {
      dashboardName: `millrace-${name}`,
      widgets: [
        [
          new GraphWidget({
            title: 'How busy the brokers are, percent of their one thread',
            left: environment.zones.map((zone) => metricBusyPercent(name, zone)),
            width: 24,
          }),
        ],
        specs.map(({ says, metric }) => new GraphWidget({ title: says, left: [metric], width: 8 })),
        // Its alarm is in the recovery stack: S3 tells this one in the region of the replica.
        recovery === undefined
          ? []
          : [
              new GraphWidget({
                title: 'Seconds that the second region is behind',
                left: [metricReplicationLatency(data.bucketName, recovery.bucketName, recovery.region)],
                width: 8,
              }),
            ],
      ],
    });
  }
}

function zoneAlarms(environment: ResolvedEnvironment): AlarmSpec[] {
  const { name, zones, scaling } = environment;
  return [
    ...zones.map((zone) => ({
      id: `Short${zone}`,
      name: `millrace-${name}-too-few-brokers-${zone}`,
      says: `Fewer brokers than wanted in ${zone} for ten minutes.`,
      metric: metricBrokersInService(name, zone),
      threshold: scaling.minPerZone,
      minutes: 10,
      when: ComparisonOperator.LESS_THAN_THRESHOLD,
      missing: TreatMissingData.BREACHING,
    })),
    ...zones.map((zone) => ({
      id: `WalFull${zone}`,
      name: `millrace-${name}-wal-full-${zone}`,
      says: `A write-ahead log of ${zone} is nearly full, or producers wait: uploads do not keep up.`,
      metric: metricWalFullPercent(name, zone),
      threshold: WAL_FULL_PERCENT,
      minutes: 5,
      when: ComparisonOperator.GREATER_THAN_THRESHOLD,
      missing: TreatMissingData.NOT_BREACHING,
    })),
    {
      id: 'ZoneWithoutBrokers',
      name: stopAlarmName(environment),
      says: 'A zone has had no broker for two minutes.',
      metric: new MathExpression({
        expression: `MIN([${zones.map((_, at) => `zone${at}`).join(', ')}])`,
        usingMetrics: Object.fromEntries(
          zones.map((zone, at) => [`zone${at}`, metricBrokersInService(name, zone)]),
        ),
        label: 'brokers of the emptiest zone',
        period: MINUTE,
      }),
      threshold: 1,
      minutes: 2,
      when: ComparisonOperator.LESS_THAN_THRESHOLD,
      missing: TreatMissingData.BREACHING,
    },
  ];
}

function certificateAlarms({ name, zones, clients, peerTls }: ResolvedEnvironment): AlarmSpec[] {
  if (clients.tls === undefined && peerTls === undefined) return [];
  return zones.map((zone) => ({
    id: `CertificateEnds${zone}`,
    name: `millrace-${name}-certificate-ends-${zone}`,
    says: `A certificate of a broker in ${zone} ends in less than ${CERTIFICATE_ENDS_SOON_DAYS} days.`,
    metric: metricCertificateDaysLeft(name, zone),
    threshold: CERTIFICATE_ENDS_SOON_DAYS,
    minutes: 5,
    when: ComparisonOperator.LESS_THAN_THRESHOLD,
    missing: TreatMissingData.NOT_BREACHING,
  }));
}

function volumeAlarms({ name }: ResolvedEnvironment, { volumes }: StorageStack): AlarmSpec[] {
  return [...(volumes?.volumeIds ?? [])].map(([nodeId, volumeId]) => ({
    id: `Stalled${nodeId}`,
    name: `millrace-${name}-wal-stalled-${nodeId}`,
    says: `The WAL volume of node ${nodeId} completes no I/O.`,
    metric: metricStalledIo(volumeId),
    threshold: 1,
    minutes: 2,
    when: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
    missing: TreatMissingData.NOT_BREACHING,
  }));
}

function bucketAlarms(environment: ResolvedEnvironment): AlarmSpec[] {
  const { name, data, recovery } = environment;
  if (recovery === undefined) return [];
  return [
    {
      id: 'ReplicationFailed',
      name: `millrace-${name}-replication-failed`,
      says: 'S3 gave up copying objects to the second region.',
      metric: metricReplicationFailures(data.bucketName, recovery.bucketName),
      threshold: 0,
      minutes: 1,
      when: ComparisonOperator.GREATER_THAN_THRESHOLD,
      missing: TreatMissingData.NOT_BREACHING,
    },
  ];
}
