/**
 * What a checker can find wrong, after protocol 1.1 and the invariants a client can see. The table is the list:
 * the report and the tests are made from it.
 */
export const ANOMALIES = {
  'lost-write': 'acknowledged, never read although later records were (I1)',
  unseen: 'acknowledged at the end of the log, not read by the final drain (I1)',
  duplicate: 'one value read at two offsets (I14)',
  'inconsistent-offsets':
    'two values at one offset, or acknowledged at one offset and read at another (I2, I6)',
  'wrong-bytes': 'bytes that are no value of this topic and partition (I33, I34)',
  'unsent-read': 'a value that nobody sent',
  'aborted-read': 'a value whose write had failed',
  gap: 'offsets that no record has (I3)',
  reordered: 'values of one producer out of the order in which it sent them (I15)',
  'nonmonotonic-send': 'a later write acknowledged at a smaller offset (I4)',
  'int-nonmonotonic-send': 'offsets inside one write that do not grow (I4)',
  'spurious-zero': 'offset 0 acknowledged for a write that cannot have been the first (I4)',
  'poll-skip': 'a record left out between two polls, or by a group as a whole',
  'int-poll-skip': 'a record left out inside one poll',
  'nonmonotonic-poll': 'a poll that went back without a rebalance',
  'int-nonmonotonic-poll': 'offsets inside one poll that do not grow',
  'watermark-regressed': 'a high watermark below what the same client had seen before (I8, I9)',
  'group-offset':
    'a committed offset that is neither the last acknowledged commit nor a concurrent one (I16)',
  'stuck-consumer': 'a consumer that was given no more records although there were some (I37)',
} as const;

export type AnomalyKind = keyof typeof ANOMALIES;

/** One finding, with everything needed to look it up in the history. */
export interface Evidence {
  readonly kind: AnomalyKind;
  readonly topic: string;
  readonly partition: number;
  readonly what: string;
  readonly clients: readonly string[];
  readonly values: readonly string[];
  readonly offsets: readonly number[];
  /** When, in milliseconds of the history's clock. */
  readonly timesMs: readonly number[];
}

/** Everything is counted; of each kind, the first few are kept in full. */
export class Findings {
  readonly #evidenceMax: number;
  readonly #counts = new Map<AnomalyKind, number>();
  readonly #evidence: Evidence[] = [];

  constructor(evidenceMaxPerKind: number) {
    this.#evidenceMax = evidenceMaxPerKind;
  }

  add(found: Omit<Evidence, 'clients' | 'values' | 'offsets' | 'timesMs'> & Partial<Evidence>): void {
    const count = (this.#counts.get(found.kind) ?? 0) + 1;
    this.#counts.set(found.kind, count);
    if (count > this.#evidenceMax) return;
    this.#evidence.push({ clients: [], values: [], offsets: [], timesMs: [], ...found });
  }

  count(kind: AnomalyKind): number {
    return this.#counts.get(kind) ?? 0;
  }

  get counts(): Readonly<Partial<Record<AnomalyKind, number>>> {
    return Object.fromEntries(this.#counts);
  }

  get evidence(): readonly Evidence[] {
    return this.#evidence;
  }
}
