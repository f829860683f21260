/** What goes through one partition, whole numbers a second. */
export interface PartitionRate {
  readonly topicId: string;
  readonly index: number;
  readonly bytesInPerS: number;
  readonly bytesOutPerS: number;
  readonly requestsPerS: number;
}

/** What a broker tells the controller about its load: the busiest partitions it leads. */
export type NodeLoad = readonly PartitionRate[];

/** Of one report: 1,000 brokers that report every 5 s stay below 2 MiB/s at the controller. */
export const MAX_REPORTED_PARTITIONS = 100;

/**
 * What traffic costs a broker's one thread, microseconds of CPU: from docs/performance.md, produce with uploads and fetch
 * of the tail for a MiB, single-record requests. Only their relation matters here; machines differ by a common factor.
 */
const BUSY_US = { perMibIn: 1_900, perMibOut: 330, perRequest: 30 };
const MIB = 1024 ** 2;

/** Millionths of a core that a partition keeps busy. */
export function busyMicros(rate: Omit<PartitionRate, 'topicId' | 'index'>): number {
  const { bytesInPerS, bytesOutPerS, requestsPerS } = rate;
  return Math.round(
    (bytesInPerS * BUSY_US.perMibIn) / MIB +
      (bytesOutPerS * BUSY_US.perMibOut) / MIB +
      requestsPerS * BUSY_US.perRequest,
  );
}

/** The busiest partitions, rounded, as they are sent. */
export function nodeLoad(rates: Iterable<PartitionRate>): NodeLoad {
  return [...rates]
    .map((rate) => ({
      ...rate,
      bytesInPerS: Math.round(rate.bytesInPerS),
      bytesOutPerS: Math.round(rate.bytesOutPerS),
      requestsPerS: Math.round(rate.requestsPerS),
    }))
    .filter((rate) => busyMicros(rate) > 0)
    .sort((a, b) => busyMicros(b) - busyMicros(a))
    .slice(0, MAX_REPORTED_PARTITIONS);
}

/** From another process, perhaps of another release: what does not fit is left out, a load is only a hint. */
export function readNodeLoad(json: unknown): NodeLoad | undefined {
  if (!Array.isArray(json)) return undefined;
  return json.slice(0, MAX_REPORTED_PARTITIONS).filter(isRate);
}

function isRate(one: unknown): one is PartitionRate {
  if (typeof one !== 'object' || one === null) return false;
  const { topicId, ...numbers } = one as Record<keyof PartitionRate, unknown>;
  return (
    typeof topicId === 'string' &&
    [numbers.index, numbers.bytesInPerS, numbers.bytesOutPerS, numbers.requestsPerS].every(
      (value) => Number.isSafeInteger(value) && Number(value) >= 0,
    )
  );
}
