import type { Environment } from '../lib/environment/environment.ts';

/** Two slots a zone on shared io2 volumes, one instance of each zone never spot, a copy of the data in a second region. */
export const prod: Environment = {
  name: 'prod',
  tier: 'prod',
  account: '333333333333',
  region: 'us-east-1',
  zones: ['us-east-1a', 'us-east-1b', 'us-east-1c'],
  slotsPerZone: 2,
  instances: {
    architecture: 'arm64',
    types: ['m7g.large', 'm8g.large', 'r7g.large', 'r8g.large'],
    onDemandBasePerZone: 1,
    spotPercent: 100,
  },
  wal: { kind: 'block-shared', sizeGiB: 16, iops: 1000 },
  recovery: { region: 'us-west-2', alarmTopicArn: 'arn:aws:sns:us-west-2:333333333333:operators' },
  clients: {
    allowedCidrs: ['10.60.0.0/16'],
    // Certificate, key, and the authorities of your clients; docs/kit.md makes one.
    tls: { secretArn: 'arn:aws:secretsmanager:us-east-1:333333333333:secret:millrace/prod/tls-AbCdEf' },
  },
  // Certificate, key and authority of the brokers alone; docs/kit.md makes them.
  peerTls: { secretArn: 'arn:aws:secretsmanager:us-east-1:333333333333:secret:millrace/prod/peers-AbCdEf' },
  alarms: { topicArn: 'arn:aws:sns:us-east-1:333333333333:operators' },
  brokerSettings: { 'auto.create.topics.enable': 'false', 'num.partitions': '6' },
};
