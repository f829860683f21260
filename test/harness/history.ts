/** One record as a client saw it: acknowledged at, or read from, a place in a partition. */
export interface Observation {
  readonly value: string;
  readonly partition: number;
  readonly offset: number;
}

export interface HistoryReport {
  readonly acknowledged: number;
  readonly read: number;
  /** Acknowledged, never read in the final drain. */
  readonly lost: readonly Observation[];
  /** One value at two places. */
  readonly duplicated: readonly Observation[];
  /** Read at another place than acknowledged, or two values at one place (I2). */
  readonly inconsistent: readonly Observation[];
  /** A partition whose offsets do not run 0, 1, 2, ... without a gap (I3). */
  readonly gaps: readonly { readonly partition: number; readonly after: number; readonly next: number }[];
  /** A producer whose acknowledged values do not stand in sending order within a partition (I4). */
  readonly reordered: readonly Observation[];
}

/**
 * Holds what producers were told against one complete read of the topic. Values are `<producer>.<counter>`, unique,
 * sent with growing counters by each producer. Records that were read but never acknowledged are allowed: their
 * answer was lost.
 */
export function checkDrain(acked: readonly Observation[], read: readonly Observation[]): HistoryReport {
  const placeOf = new Map<string, Observation>();
  const valueAt = new Map<string, string>();
  const duplicated: Observation[] = [];
  const inconsistent: Observation[] = [];
  for (const record of read) {
    if (placeOf.has(record.value)) duplicated.push(record);
    else placeOf.set(record.value, record);
    const place = `${record.partition}/${record.offset}`;
    if (valueAt.has(place)) inconsistent.push(record);
    valueAt.set(place, record.value);
  }

  const lost: Observation[] = [];
  for (const record of acked) {
    const found = placeOf.get(record.value);
    if (found === undefined) lost.push(record);
    else if (found.partition !== record.partition || found.offset !== record.offset)
      inconsistent.push(record);
  }

  return {
    acknowledged: acked.length,
    read: read.length,
    lost,
    duplicated,
    inconsistent,
    ...checkOrder(read),
  };
}

function checkOrder(read: readonly Observation[]): Pick<HistoryReport, 'gaps' | 'reordered'> {
  const gaps: HistoryReport['gaps'][number][] = [];
  const reordered: Observation[] = [];
  const byPlace = [...read].sort((a, b) => a.partition - b.partition || a.offset - b.offset);
  let partition = -1;
  let expected = 0;
  let newest = new Map<string, number>();
  for (const record of byPlace) {
    if (record.partition !== partition) {
      partition = record.partition;
      expected = 0;
      newest = new Map();
    }
    if (record.offset > expected) gaps.push({ partition, after: expected - 1, next: record.offset });
    expected = record.offset + 1;

    const dot = record.value.lastIndexOf('.');
    const producer = record.value.slice(0, dot);
    const counter = Number(record.value.slice(dot + 1));
    if (counter < (newest.get(producer) ?? -1)) reordered.push(record);
    newest.set(producer, Math.max(counter, newest.get(producer) ?? -1));
  }
  return { gaps, reordered };
}
