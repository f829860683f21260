import type { AnomalyKind, Findings } from './anomalies.ts';
import type { PartitionHistory, ReaderEvent } from './partition-history.ts';
import type { Versions } from './versions.ts';

export interface PollOptions {
  /** A consumer that has waited this long for a record that is there, and never got it, is stuck. */
  readonly stuckAfterMs: number;
  /** When the history ends. */
  readonly endMs: number;
}

/** @returns the longest time a reader waited for a record that was there, by client */
export function checkPolls(
  history: PartitionHistory,
  versions: Versions,
  options: PollOptions,
  findings: Findings,
): ReadonlyMap<string, number> {
  const longestWaitMs = new Map<string, number>();
  for (const [client, events] of history.readers) {
    const reader = new ReaderCheck(history, client, versions, options, findings);
    for (const event of events) reader.see(event);
    reader.end();
    longestWaitMs.set(client, reader.longestWaitMs);
  }
  checkGroupCoverage(history, versions, findings);
  return longestWaitMs;
}

/** Follows one client through one partition. */
class ReaderCheck {
  longestWaitMs = 0;
  readonly #history: PartitionHistory;
  readonly #client: string;
  readonly #versions: Versions;
  readonly #options: PollOptions;
  readonly #findings: Findings;
  /** Where the next poll begins; undefined: wherever the group put it. */
  #position: number | undefined;
  /** Whose offsets say where that is. */
  #group: string | undefined;
  #sinceMs: number | undefined;
  #watermark = -1;
  #readEnd = 0;

  constructor(
    history: PartitionHistory,
    client: string,
    versions: Versions,
    options: PollOptions,
    findings: Findings,
  ) {
    this.#history = history;
    this.#client = client;
    this.#versions = versions;
    this.#options = options;
    this.#findings = findings;
  }

  see(event: ReaderEvent): void {
    if (event.kind === 'poll') this.#poll(event);
    else if (event.kind === 'assigned') {
      this.#position = event.offset;
      this.#group = event.mode === 'subscribe' ? event.group : undefined;
      this.#sinceMs = event.t1;
    } else {
      if (event.isClose) this.#checkStuck(event.t1);
      this.#sinceMs = undefined;
    }
  }

  end(): void {
    this.#checkStuck(this.#options.endMs);
  }

  #poll({ records, highWatermark, t1 }: ReaderEvent & { readonly kind: 'poll' }): void {
    const [first] = records;
    if (first !== undefined) {
      if (this.#position !== undefined) {
        this.#step(this.#position - 1, first.offset, ['nonmonotonic-poll', 'poll-skip'], t1);
        this.#waited(this.#position, t1);
      }
      for (const [n, { offset }] of records.entries()) {
        const before = records[n - 1];
        if (before !== undefined)
          this.#step(before.offset, offset, ['int-nonmonotonic-poll', 'int-poll-skip'], t1);
        this.#readEnd = Math.max(this.#readEnd, offset + 1);
      }
      this.#position = (records.at(-1)?.offset ?? first.offset) + 1;
      this.#sinceMs = t1;
    }
    if (highWatermark !== undefined) this.#checkWatermark(highWatermark, t1);
  }

  #step(
    before: number,
    offset: number,
    [backward, skip]: readonly [AnomalyKind, AnomalyKind],
    t1: number,
  ): void {
    const left = offset > before ? nextKnown(this.#versions.offsets, before + 1) : undefined;
    if (offset > before && (left === undefined || left >= offset)) return;
    const { valueAt } = this.#versions;
    this.#findings.add({
      kind: left === undefined ? backward : skip,
      ...this.#where,
      what:
        left === undefined
          ? `got offset ${offset} when ${before + 1} was next`
          : `got offset ${offset} when ${before + 1} was next; ${left} was left out`,
      values: [valueAt.get(left ?? offset) ?? ''],
      offsets: left === undefined ? [before + 1, offset] : [before + 1, offset, left],
      timesMs: [t1],
    });
  }

  #checkWatermark(highWatermark: number, t1: number): void {
    const least = Math.max(this.#watermark, this.#readEnd);
    if (highWatermark < least) {
      this.#findings.add({
        kind: 'watermark-regressed',
        ...this.#where,
        what: `high watermark ${highWatermark} after ${least} had been ${this.#readEnd === least ? 'read' : 'told'}`,
        offsets: [least, highWatermark],
        timesMs: [t1],
      });
    }
    this.#watermark = Math.max(this.#watermark, highWatermark);
  }

  #waited(position: number, t1: number): void {
    const waitMs = this.#waitMs(position, t1);
    if (waitMs !== undefined) this.longestWaitMs = Math.max(this.longestWaitMs, waitMs.ms);
  }

  /** How long the record at the position had been there and waited for. */
  #waitMs(position: number, nowMs: number): { readonly ms: number; readonly offset: number } | undefined {
    const offset = nextKnown(this.#versions.offsets, position);
    const visibleAtMs = offset === undefined ? undefined : this.#versions.visibleAtMs.get(offset);
    if (offset === undefined || visibleAtMs === undefined || this.#sinceMs === undefined) return undefined;
    return { ms: Math.max(0, nowMs - Math.max(visibleAtMs, this.#sinceMs)), offset };
  }

  #checkStuck(nowMs: number): void {
    if (this.#sinceMs === undefined) return;
    const waiting = this.#waitMs(this.#position ?? this.#startMost(this.#sinceMs), nowMs);
    if (waiting === undefined || waiting.ms <= this.#options.stuckAfterMs) return;
    this.longestWaitMs = Math.max(this.longestWaitMs, waiting.ms);
    this.#findings.add({
      kind: 'stuck-consumer',
      ...this.#where,
      what: `waited ${Math.round(waiting.ms)} ms for offset ${waiting.offset} until it ended`,
      values: [this.#versions.valueAt.get(waiting.offset) ?? ''],
      offsets: [waiting.offset],
      timesMs: [this.#sinceMs, nowMs],
    });
  }

  /** The furthest that a group can have put a member at that moment: behind what its members had read. */
  #startMost(atMs: number): number {
    let end = this.#readEnd;
    if (this.#group === undefined) return end;
    for (const events of this.#history.readers.values()) {
      let group: string | undefined;
      for (const event of events) {
        if (event.t1 > atMs) break;
        if (event.kind === 'assigned') group = event.mode === 'subscribe' ? event.group : undefined;
        if (event.kind !== 'poll' || group !== this.#group) continue;
        end = Math.max(end, (event.records.at(-1)?.offset ?? -1) + 1);
      }
    }
    return end;
  }

  get #where() {
    const { topic, partition } = this.#history;
    return { topic, partition, clients: [this.#client] };
  }
}

/** Members commit what they have read: between the first and the last record of a group, somebody read every one. */
function checkGroupCoverage(history: PartitionHistory, versions: Versions, findings: Findings): void {
  const readByGroup = new Map<string, Set<number>>();
  for (const events of history.readers.values()) {
    let group: string | undefined;
    for (const event of events) {
      if (event.kind === 'assigned') group = event.mode === 'subscribe' ? event.group : undefined;
      if (event.kind !== 'poll' || group === undefined) continue;
      const read = readByGroup.get(group) ?? new Set();
      readByGroup.set(group, read);
      for (const { offset } of event.records) read.add(offset);
    }
  }
  const { topic, partition } = history;
  for (const [group, read] of readByGroup) {
    let first = Infinity;
    let last = -1;
    for (const offset of read) {
      first = Math.min(first, offset);
      last = Math.max(last, offset);
    }
    for (const offset of versions.offsets) {
      if (offset < first || offset > last || read.has(offset)) continue;
      const what = `no member of ${group} read offset ${offset}, although they read ${first} to ${last}`;
      const values = [versions.valueAt.get(offset) ?? ''];
      findings.add({
        kind: 'poll-skip',
        topic,
        partition,
        what,
        clients: [group],
        values,
        offsets: [offset],
      });
    }
  }
}

/** The smallest known offset that is at least `from`. */
function nextKnown(offsets: readonly number[], from: number): number | undefined {
  let low = 0;
  let high = offsets.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((offsets[middle] ?? Infinity) < from) low = middle + 1;
    else high = middle;
  }
  return offsets[low];
}
