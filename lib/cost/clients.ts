import type { ResolvedEnvironment } from '../environment/resolve.ts';
import { type CostLine, costLine, type Factor } from './cost-line.ts';
import { type Load, traffic } from './load.ts';
import { PRICES } from './prices.ts';

/** Partitions have a leader in one zone and clients are in all of them: with Millrace as with Apache Kafka. */
export function clientLines({ zones }: ResolvedEnvironment, load: Load): CostLine[] {
  const { perMonthGb } = traffic(load);
  const elsewhere: Factor = [(zones.length - 1) / zones.length, 'from other zones'];
  return [
    costLine('cross-zone, producers', PRICES.crossZone, [perMonthGb, 'GB'], elsewhere),
    costLine(
      'cross-zone, consumers',
      PRICES.crossZone,
      [perMonthGb, 'GB'],
      [load.fanout, 'readers'],
      elsewhere,
    ),
  ];
}
