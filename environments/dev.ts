import type { Environment } from '../lib/environment/environment.ts';

/** Small and cheap: burstable spot instances, one slot a zone, nothing kept when it is removed. */
export const dev: Environment = {
  name: 'dev',
  tier: 'dev',
  // Yours: `aws sts get-caller-identity`
  account: '111111111111',
  region: 'eu-central-1',
  zones: ['eu-central-1a', 'eu-central-1b', 'eu-central-1c'],
  slotsPerZone: 1,
  wal: { kind: 'block-shared', sizeGiB: 4, iops: 100 },
  // Two keys: with only one of them it is an error.
  data: { removal: 'destroy', confirmDestroy: 'dev' },
  clients: { allowedCidrs: ['10.60.0.0/16'], acceptPlaintext: true },
};
