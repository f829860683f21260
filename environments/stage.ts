import type { Environment } from '../lib/environment/environment.ts';

/** Shaped like production, in a VPC that exists already, with the WAL in the bucket. */
export const stage: Environment = {
  name: 'stage',
  tier: 'dev',
  account: '222222222222',
  region: 'us-east-1',
  zones: ['us-east-1a', 'us-east-1b', 'us-east-1d'],
  slotsPerZone: 2,
  instances: { types: ['m7g.large', 'm8g.large'], spotPercent: 100 },
  wal: { kind: 'object' },
  network: {
    vpcId: 'vpc-0123456789abcdef0',
    vpcCidr: '10.20.0.0/16',
    subnetIds: {
      'us-east-1a': 'subnet-0123456789abcdef0',
      'us-east-1b': 'subnet-0123456789abcdef1',
      'us-east-1d': 'subnet-0123456789abcdef2',
    },
  },
  dns: { domain: 'kafka.stage.example.com', hostedZoneId: 'Z0123456789ABCDEFGHIJ' },
  clients: { allowedCidrs: ['10.20.0.0/16'], acceptPlaintext: true },
  // Any broker takes over a log in the bucket, so one in each zone is enough at night; on volumes it takes a neighbour.
  scaling: {
    minPerZone: 1,
    maxPerZone: 2,
    schedule: [
      { name: 'morning', cron: '0 6 * * 1-5', perZone: 2 },
      { name: 'evening', cron: '0 20 * * 1-5', perZone: 1 },
    ],
  },
  brokerSettings: { 'auto.create.topics.enable': 'false' },
};
