import type { ResolvedEnvironment } from '../environment/resolve.ts';
import { clientLines } from './clients.ts';
import { type CostLine, costLine } from './cost-line.ts';
import { HOURS, type Load, traffic } from './load.ts';
import { instancePrice, PRICES } from './prices.ts';

const REPLICAS = 3;
/** A Kafka volume is kept at most this full: growth, rebalances and a broker that is away need the rest. */
const FULL_SHARE = 0.6;

/**
 * The same load on Apache Kafka: as many instances, on demand since their disks are the data; three replicas on gp3. Its
 * consumers read from the leader; with fetch-from-follower (KIP-392) that line is nought.
 */
export function kafkaLines(environment: ResolvedEnvironment, load: Load): CostLine[] {
  const { zones, instances, scaling } = environment;
  const [type = ''] = instances.types;
  const price = instancePrice(type);
  const { perDayGb, perMonthGb } = traffic(load);
  return [
    ...(price === undefined
      ? []
      : [
          costLine(
            'instances, on demand',
            price,
            [zones.length, 'zones'],
            [scaling.maxPerZone, type],
            [HOURS, 'hours'],
          ),
        ]),
    costLine(
      `gp3, ${REPLICAS} replicas at ${FULL_SHARE * 100} % full`,
      PRICES.gp3Storage,
      [perDayGb, 'GB a day'],
      [load.retentionDays, 'days'],
      [REPLICAS / FULL_SHARE, 'times the space'],
    ),
    costLine('cross-zone, replication', PRICES.crossZone, [perMonthGb, 'GB'], [REPLICAS - 1, 'copies']),
    ...clientLines(environment, load),
  ];
}
