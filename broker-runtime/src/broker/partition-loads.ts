import type { PartitionSet } from '../log/partitions.ts';
import { TrafficMeter } from '../log/traffic.ts';
import { nodeLoad, type NodeLoad, type PartitionRate } from '../metadata/node-load.ts';
import type { Clock } from '../ports/clock.ts';

/** Measures, whenever it is asked, how busy the open partitions were since it was asked last. */
export function partitionLoads(clock: Clock, partitions: Pick<PartitionSet, 'opened'>): () => NodeLoad {
  const meter = new TrafficMeter(clock);
  return () => nodeLoad(rates(meter, partitions));
}

function* rates(meter: TrafficMeter, partitions: Pick<PartitionSet, 'opened'>): Generator<PartitionRate> {
  for (const { topicId, partition: index, traffic } of partitions.opened()) {
    const rate = meter.measure(traffic);
    if (rate !== undefined) yield { topicId, index, ...rate };
  }
}
