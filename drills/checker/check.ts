import type { Operation } from '../history/operation.ts';
import { parseHead, type ValueIdentity } from '../history/value.ts';
import { type AnomalyKind, type Evidence, Findings } from './anomalies.ts';
import { GroupOffsets } from './group-offsets.ts';
import { Partitions } from './partition-history.ts';
import { checkPolls } from './polls.ts';
import { checkSends } from './sends.ts';
import { Stalls } from './stalls.ts';
import { Throughput, type ThroughputSeries } from './throughput.ts';
import { checkVersions } from './versions.ts';

export interface CheckOptions {
  /** Every offset belongs to a record: no transactions, no compaction, nothing trimmed. Default true. */
  readonly isDense?: boolean;
  /** Default 10 s. */
  readonly stuckAfterMs?: number;
  /** Findings kept in full of each kind; all are counted. Default 10. */
  readonly evidenceMaxPerKind?: number;
}

/** What a history says about the cluster that served it. */
export interface Verdict {
  readonly isClean: boolean;
  /** Records. */
  readonly acknowledged: number;
  /** Sent, and nobody knows; `recovered` of them were committed. */
  readonly unknown: number;
  readonly recovered: number;
  /** Distinct places read. */
  readonly read: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly reordered: number;
  readonly counts: Readonly<Partial<Record<AnomalyKind, number>>>;
  readonly evidence: readonly Evidence[];
  readonly operations: number;
  /** Writes that ended with an error the application saw. */
  readonly sendErrors: number;
  readonly stalls: Stalls;
  readonly throughput: ThroughputSeries;
  /** The longest time each reader waited for a record that was there. */
  readonly longestWaitMs: ReadonlyMap<string, number>;
  readonly endMs: number;
}

/**
 * Holds what clients were told against itself. One pass over the history, then one over each partition:
 * O(n log n) in time, and memory for one small entry a record.
 */
export async function checkHistory(
  history: AsyncIterable<Operation> | Iterable<Operation>,
  options: CheckOptions = {},
): Promise<Verdict> {
  const partitions = new Partitions();
  const groupOffsets = new GroupOffsets();
  const stalls = new Stalls();
  const throughput = new Throughput();
  let operations = 0;
  let sendErrors = 0;
  let unknown = 0;
  let endMs = 0;
  for await (const operation of history) {
    operations += 1;
    if (operation.f === 'send' && operation.type !== 'ok') sendErrors += 1;
    if (operation.f === 'send' && operation.type === 'info') unknown += operation.ops.length;
    endMs = Math.max(endMs, operation.t1);
    partitions.add(operation);
    groupOffsets.add(operation);
    stalls.add(operation);
    throughput.add(operation);
  }

  const { isDense = true, stuckAfterMs = 10_000, evidenceMaxPerKind = 10 } = options;
  const findings = new Findings(evidenceMaxPerKind);
  const longestWaitMs = new Map<string, number>();
  let acknowledged = 0;
  let recovered = 0;
  let read = 0;
  for (const partition of partitions.all) {
    const versions = checkVersions(partition, remembered(parseHead), isDense, findings);
    acknowledged += versions.acknowledged;
    recovered += versions.recovered;
    read += versions.read;
    checkSends(partition, findings);
    for (const [client, ms] of checkPolls(partition, versions, { stuckAfterMs, endMs }, findings)) {
      longestWaitMs.set(client, Math.max(ms, longestWaitMs.get(client) ?? 0));
    }
  }
  groupOffsets.check(findings);

  const count = (...kinds: readonly AnomalyKind[]) =>
    kinds.reduce((sum, kind) => sum + findings.count(kind), 0);
  return {
    isClean: Object.keys(findings.counts).length === 0,
    acknowledged,
    unknown,
    recovered,
    read,
    lost: count('lost-write', 'unseen'),
    duplicated: count('duplicate'),
    reordered: count('reordered', 'nonmonotonic-send', 'int-nonmonotonic-send', 'spurious-zero'),
    counts: findings.counts,
    evidence: findings.evidence,
    operations,
    sendErrors,
    stalls,
    throughput: throughput.series,
    longestWaitMs,
    endMs,
  };
}

/** Every reader meets every value: its hash is worked out once. */
function remembered(parse: typeof parseHead): typeof parseHead {
  const known = new Map<string, ValueIdentity | undefined>();
  return (head) => {
    if (!known.has(head)) known.set(head, parse(head));
    return known.get(head);
  };
}
