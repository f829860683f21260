import type { ValueIdentity } from '../history/value.ts';
import type { Findings } from './anomalies.ts';
import type { PartitionHistory, PlacedValue, Send } from './partition-history.ts';

/** What the log of one partition must have looked like, pieced together from every acknowledgement and every read. */
export interface Versions {
  readonly valueAt: ReadonlyMap<number, string>;
  /** Every offset somebody saw a record at, ascending. */
  readonly offsets: readonly number[];
  /** The earliest time at which a record was acknowledged or read. */
  readonly visibleAtMs: ReadonlyMap<number, number>;
  readonly acknowledged: number;
  readonly read: number;
  /** Unknown writes that were committed after all. */
  readonly recovered: number;
}

export type ParseHead = (head: string) => ValueIdentity | undefined;

/** Pieces the version order together; adds whatever contradicts there being one. */
export function checkVersions(
  history: PartitionHistory,
  parse: ParseHead,
  isDense: boolean,
  findings: Findings,
): Versions {
  const { topic, partition } = history;
  const log = new ObservedLog(history, findings);
  const sendOf = new Map<string, Send>();
  let acknowledged = 0;
  for (const send of history.sends) {
    for (const { value, offset } of send.records) {
      sendOf.set(value, send);
      if (send.type !== 'ok' || offset === undefined) continue;
      acknowledged += 1;
      log.acknowledged({ value, offset }, send);
    }
  }
  for (const [client, events] of history.readers) {
    for (const event of events) {
      if (event.kind !== 'poll') continue;
      for (const record of event.records) {
        if (isFromHere(history, record, client, event.t1, parse, sendOf, findings))
          log.read(record, client, event.t1);
      }
    }
  }
  log.compareAcknowledgedWithRead();

  const offsets = [...log.valueAt.keys()].sort((a, b) => a - b);
  const recovered = checkSurvival(history, log.readAt, findings);
  if (isDense) checkDense(history, offsets, log.valueAt, findings);
  checkProducerOrder({ topic, partition }, offsets, log.valueAt, parse, findings);
  return {
    valueAt: log.valueAt,
    offsets,
    visibleAtMs: log.visibleAtMs,
    acknowledged,
    read: log.readAt.size,
    recovered,
  };
}

/** Two values at one place, one value at two places. */
class ObservedLog {
  readonly valueAt = new Map<number, string>();
  readonly visibleAtMs = new Map<number, number>();
  /** Where each value was read first. */
  readonly readAt = new Map<string, number>();
  readonly #ackedAt = new Map<string, { readonly offset: number; readonly send: Send }>();
  readonly #history: PartitionHistory;
  readonly #findings: Findings;
  readonly #reported = new Set<string>();

  constructor(history: PartitionHistory, findings: Findings) {
    this.#history = history;
    this.#findings = findings;
  }

  acknowledged(record: PlacedValue, send: Send): void {
    this.#ackedAt.set(record.value, { offset: record.offset, send });
    this.#place(record, send.client, send.t1);
  }

  read(record: PlacedValue, client: string, t1: number): void {
    this.#place(record, client, t1);
    const first = this.readAt.get(record.value);
    if (first === undefined) this.readAt.set(record.value, record.offset);
    else if (first !== record.offset) {
      this.#report('duplicate', record, client, t1, [first, record.offset], [record.value]);
    }
  }

  compareAcknowledgedWithRead(): void {
    for (const [value, { offset, send }] of this.#ackedAt) {
      const read = this.readAt.get(value);
      if (read === undefined || read === offset) continue;
      this.#report(
        'inconsistent-offsets',
        { value, offset: read },
        send.client,
        send.t1,
        [offset, read],
        [value],
      );
    }
  }

  #place(record: PlacedValue, client: string, t1: number): void {
    const { offset, value } = record;
    const there = this.valueAt.get(offset);
    if (there === undefined) this.valueAt.set(offset, value);
    else if (there !== value) {
      this.#report('inconsistent-offsets', record, client, t1, [offset], [there, value]);
    }
    this.visibleAtMs.set(offset, Math.min(t1, this.visibleAtMs.get(offset) ?? Infinity));
  }

  /** Every reader sees the same damage; it is one finding. */
  #report(
    kind: 'duplicate' | 'inconsistent-offsets',
    { value, offset }: PlacedValue,
    client: string,
    t1: number,
    offsets: readonly number[],
    values: readonly string[],
  ): void {
    const key = `${kind} ${value} ${offset}`;
    if (this.#reported.has(key)) return;
    this.#reported.add(key);
    const { topic, partition } = this.#history;
    const what =
      values.length > 1
        ? `offset ${offset} has two values`
        : kind === 'duplicate'
          ? `one value at offsets ${offsets.join(' and ')}`
          : `acknowledged at offset ${offsets[0] ?? '?'}, read at ${offset}`;
    this.#findings.add({
      kind,
      topic,
      partition,
      what,
      clients: [client],
      values,
      offsets,
      timesMs: [t1],
    });
  }
}

/** A value read here must have been sent here, whole, by a write that did not fail. */
function isFromHere(
  { topic, partition }: PartitionHistory,
  { offset, value }: PlacedValue,
  client: string,
  t1: number,
  parse: ParseHead,
  sendOf: ReadonlyMap<string, Send>,
  findings: Findings,
): boolean {
  const where = { topic, partition, clients: [client], values: [value], offsets: [offset], timesMs: [t1] };
  const identity = parse(value);
  if (identity?.topic !== topic || identity.partition !== partition) {
    const what =
      identity === undefined
        ? `offset ${offset} holds bytes that are no value`
        : `offset ${offset} holds a value of ${identity.topic}/${identity.partition}`;
    findings.add({ kind: 'wrong-bytes', what, ...where });
    return false;
  }
  const send = sendOf.get(value);
  if (send === undefined) {
    findings.add({ kind: 'unsent-read', what: `nobody sent the value at offset ${offset}`, ...where });
  } else if (send.type === 'fail') {
    const what = `the write of the value at offset ${offset} had failed`;
    findings.add({ kind: 'aborted-read', what, ...where, clients: [send.client, client] });
  }
  return true;
}

/**
 * Everything acknowledged was read. An unknown write counts as committed, whole, once any of its records was read.
 * @returns how many records of unknown writes were committed
 */
function checkSurvival(
  { topic, partition, sends }: PartitionHistory,
  readAt: ReadonlyMap<string, number>,
  findings: Findings,
): number {
  let lastRead = -1;
  for (const offset of readAt.values()) lastRead = Math.max(lastRead, offset);
  let recovered = 0;
  for (const { type, client, t1, records } of sends) {
    if (type === 'fail') continue;
    const seen = records.find(({ value }) => readAt.has(value));
    if (type === 'info' && seen === undefined) continue;
    // The records of an unknown write stand side by side: one that was read gives the offsets of the others.
    const base = seen === undefined ? undefined : (readAt.get(seen.value) ?? 0) - records.indexOf(seen);
    for (const [n, { value, offset = (base ?? 0) + n }] of records.entries()) {
      if (type === 'info') recovered += 1;
      if (readAt.has(value)) continue;
      const kind = offset < lastRead ? 'lost-write' : 'unseen';
      const what =
        `${type === 'ok' ? 'acknowledged' : 'committed with its batch'} at offset ${offset}, never read; ` +
        `the last offset read is ${lastRead}`;
      findings.add({
        kind,
        topic,
        partition,
        what,
        clients: [client],
        values: [value],
        offsets: [offset],
        timesMs: [t1],
      });
    }
  }
  return recovered;
}

function checkDense(
  { topic, partition }: PartitionHistory,
  offsets: readonly number[],
  valueAt: ReadonlyMap<number, string>,
  findings: Findings,
): void {
  let expected = 0;
  for (const offset of offsets) {
    if (offset !== expected) {
      const what = `no record at ${expected === offset - 1 ? `offset ${expected}` : `offsets ${expected} to ${offset - 1}`}`;
      const values = [valueAt.get(offset) ?? ''];
      findings.add({ kind: 'gap', topic, partition, what, values, offsets: [expected, offset] });
    }
    expected = offset + 1;
  }
}

function checkProducerOrder(
  where: { readonly topic: string; readonly partition: number },
  offsets: readonly number[],
  valueAt: ReadonlyMap<number, string>,
  parse: ParseHead,
  findings: Findings,
): void {
  const newest = new Map<
    string,
    { readonly counter: number; readonly offset: number; readonly value: string }
  >();
  for (const offset of offsets) {
    const value = valueAt.get(offset) ?? '';
    const identity = parse(value);
    if (identity === undefined) continue;
    const { producer, counter } = identity;
    const before = newest.get(producer);
    if (before !== undefined && counter < before.counter) {
      findings.add({
        kind: 'reordered',
        ...where,
        what: `${producer} sent ${counter} before ${before.counter}, but it stands behind it`,
        clients: [producer],
        values: [before.value, value],
        offsets: [before.offset, offset],
      });
    } else newest.set(producer, { counter, offset, value });
  }
}
