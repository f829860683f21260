/** What AWS asks for one unit, us-east-1, US dollars. Another region is up to a quarter dearer. */
export interface Price {
  readonly usd: number;
  /** What one unit is, such as `GB-month`. */
  readonly unit: string;
  /** Page and date; "unchecked" where no second source was found. */
  readonly source: string;
}

const EBS = 'aws.amazon.com/ebs/pricing, 2024-07';
const EBS_TIERS = 'aws.amazon.com/ebs/pricing, unchecked';
const S3 = 'aws.amazon.com/s3/pricing, 2024-07';
const TRANSFER = 'aws.amazon.com/ec2/pricing/on-demand#Data_Transfer, 2024-09';
const VPC = 'aws.amazon.com/vpc/pricing, 2024-09';
const NLB = 'aws.amazon.com/elasticloadbalancing/pricing, 2024-09';
const CLOUDWATCH = 'aws.amazon.com/cloudwatch/pricing, unchecked';

export const PRICES = {
  io2Storage: { usd: 0.125, unit: 'GB-month', source: EBS },
  io2Iops: { usd: 0.065, unit: 'IOPS-month', source: EBS },
  io2IopsAbove32k: { usd: 0.046, unit: 'IOPS-month', source: EBS_TIERS },
  io2IopsAbove64k: { usd: 0.032, unit: 'IOPS-month', source: EBS_TIERS },
  gp3Storage: { usd: 0.08, unit: 'GB-month', source: EBS },
  crossZone: { usd: 0.02, unit: 'GB', source: TRANSFER },
  crossRegion: { usd: 0.02, unit: 'GB', source: TRANSFER },
  nearRegion: { usd: 0.01, unit: 'GB', source: TRANSFER },
  replicationTimeControl: {
    usd: 0.015,
    unit: 'GB',
    source: 'aws.amazon.com/s3/pricing (replication), unchecked',
  },
  loadBalancer: { usd: 0.0225, unit: 'hour', source: NLB },
  loadBalancerCapacity: { usd: 0.006, unit: 'NLCU-hour', source: NLB },
  interfaceEndpoint: { usd: 0.01, unit: 'hour', source: VPC },
  natGateway: { usd: 0.045, unit: 'hour', source: 'aws.amazon.com/vpc/pricing, unchecked' },
  publicAddress: { usd: 0.005, unit: 'hour', source: 'aws.amazon.com/vpc/pricing, unchecked' },
  hostedZone: { usd: 0.5, unit: 'zone-month', source: 'aws.amazon.com/route53/pricing, 2024-09' },
  instanceMetrics: { usd: 2.1, unit: 'instance-month', source: CLOUDWATCH },
  metric: { usd: 0.3, unit: 'metric-month', source: CLOUDWATCH },
  alarm: { usd: 0.1, unit: 'alarm-month', source: CLOUDWATCH },
} as const satisfies Record<string, Price>;

interface StorageClassPrices {
  readonly storage: Price;
  /** Per request, not per thousand. */
  readonly put: Price;
  readonly get: Price;
  /** A version that goes earlier is billed for this long all the same. */
  readonly minDays: number;
}

const requests = (usdPerThousand: number, source = S3): Price => ({
  usd: usdPerThousand / 1000,
  unit: 'request',
  source,
});

export const STORAGE_CLASSES = {
  STANDARD: {
    storage: { usd: 0.023, unit: 'GB-month', source: S3 },
    put: requests(0.005),
    get: requests(0.0004),
    minDays: 0,
  },
  STANDARD_IA: {
    storage: { usd: 0.0125, unit: 'GB-month', source: S3 },
    put: requests(0.01),
    get: requests(0.001),
    minDays: 30,
  },
  GLACIER_IR: {
    storage: { usd: 0.004, unit: 'GB-month', source: 'aws.amazon.com/s3/pricing, unchecked' },
    put: requests(0.02, 'aws.amazon.com/s3/pricing, unchecked'),
    get: requests(0.01, 'aws.amazon.com/s3/pricing, unchecked'),
    minDays: 90,
  },
} as const satisfies Record<string, StorageClassPrices>;

const EC2 = 'aws.amazon.com/ec2/pricing/on-demand, 2026-07-20';
const EC2_UNCHECKED = 'aws.amazon.com/ec2/pricing/on-demand, unchecked';

/** On demand, of the size `large`; the other sizes are its multiples. */
const LARGE_USD_PER_HOUR: Readonly<Record<string, readonly [usd: number, source: string]>> = {
  c7g: [0.0725, EC2],
  c8g: [0.07976, EC2],
  m7g: [0.0816, EC2],
  m8g: [0.08976, EC2],
  r7g: [0.1071, EC2],
  r8g: [0.11782, EC2],
  r8gb: [0.18218, EC2],
  t4g: [0.0672, EC2_UNCHECKED],
  t3: [0.0832, EC2_UNCHECKED],
  c7i: [0.08925, EC2_UNCHECKED],
  m7i: [0.1008, EC2_UNCHECKED],
  r7i: [0.1323, EC2_UNCHECKED],
};

const SIZE_FACTORS: Readonly<Record<string, number>> = {
  medium: 0.5,
  large: 1,
  xlarge: 2,
  '2xlarge': 4,
  '4xlarge': 8,
};

/** What a spot instance is cheaper by: 40 to 70 % is usual, the price of the day is in `aws ec2 describe-spot-price-history`. */
export const SPOT_DISCOUNT = 0.55;

/** @returns undefined for a type that validation would refuse */
export function instancePrice(type: string): Price | undefined {
  const [family = '', size = ''] = type.split('.');
  const large = LARGE_USD_PER_HOUR[family];
  const factor = SIZE_FACTORS[size];
  if (large === undefined || factor === undefined) return undefined;
  return { usd: large[0] * factor, unit: 'hour', source: large[1] };
}

export function spotPrice(onDemand: Price): Price {
  return {
    usd: onDemand.usd * (1 - SPOT_DISCOUNT),
    unit: 'hour',
    source: `${onDemand.source}, less ${Math.round(SPOT_DISCOUNT * 100)} % (spot: 40 to 70 % off)`,
  };
}
