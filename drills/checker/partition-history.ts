import type { MicroOperation, Operation, Outcome } from '../history/operation.ts';

/** One write to one partition. */
export interface Send {
  readonly client: string;
  readonly type: Outcome;
  readonly t0: number;
  readonly t1: number;
  readonly records: readonly { readonly value: string; readonly offset: number | undefined }[];
}

/** What one client did to one partition as a reader, in order. */
export type ReaderEvent =
  | {
      readonly kind: 'poll';
      readonly t0: number;
      readonly t1: number;
      readonly records: readonly PlacedValue[];
      readonly highWatermark: number | undefined;
    }
  | {
      readonly kind: 'assigned';
      readonly t1: number;
      readonly mode: 'assign' | 'subscribe';
      readonly group: string | undefined;
      readonly offset: number | undefined;
    }
  | {
      readonly kind: 'unassigned';
      readonly t1: number;
      /** The client stopped reading altogether: nobody took the partition from it. */
      readonly isClose: boolean;
    };

export interface PlacedValue {
  readonly offset: number;
  readonly value: string;
}

export interface PartitionHistory {
  readonly topic: string;
  readonly partition: number;
  readonly sends: Send[];
  readonly readers: Map<string, ReaderEvent[]>;
}

/** Sorts a stream of operations by partition. What it keeps is one small entry a record. */
export class Partitions {
  readonly #byName = new Map<string, PartitionHistory>();
  readonly #assigned = new Map<string, Map<string, PartitionHistory>>();

  get all(): readonly PartitionHistory[] {
    return [...this.#byName.values()];
  }

  add(operation: Operation): void {
    if (operation.f === 'send') this.#addSend(operation);
    else if (operation.f === 'poll' && operation.type === 'ok') this.#addPoll(operation);
    else if (operation.f === 'assign') this.#addAssign(operation);
  }

  #addSend({ client, type, t0, t1, ops }: Operation): void {
    for (const [history, own] of this.#split(ops)) {
      const records = own.flatMap(({ value, offset }) => (value === undefined ? [] : [{ value, offset }]));
      history.sends.push({ client, type, t0, t1, records });
    }
  }

  #addPoll({ client, t0, t1, ops }: Operation): void {
    for (const [history, own] of this.#split(ops)) {
      const records: PlacedValue[] = [];
      let highWatermark: number | undefined;
      for (const { offset, value, highWatermark: told } of own) {
        if (offset !== undefined && value !== undefined) records.push({ offset, value });
        highWatermark = told ?? highWatermark;
      }
      eventsOf(history, client).push({ kind: 'poll', t0, t1, records, highWatermark });
    }
  }

  #addAssign({ client, t1, mode = 'assign', group, ops }: Operation): void {
    const before = this.#assigned.get(client) ?? new Map<string, PartitionHistory>();
    const now = new Map<string, PartitionHistory>();
    for (const op of ops) {
      const history = this.#of(op);
      now.set(nameOf(op), history);
      eventsOf(history, client).push({ kind: 'assigned', t1, mode, group, offset: op.offset });
    }
    // A rebalance may leave a member without partitions; a client that ends says so in its own name.
    const isClose = ops.length === 0 && mode === 'assign';
    for (const [name, history] of before) {
      if (!now.has(name)) eventsOf(history, client).push({ kind: 'unassigned', t1, isClose });
    }
    this.#assigned.set(client, now);
  }

  #split(ops: readonly MicroOperation[]): Map<PartitionHistory, MicroOperation[]> {
    const split = new Map<PartitionHistory, MicroOperation[]>();
    for (const op of ops) {
      const history = this.#of(op);
      const own = split.get(history);
      if (own === undefined) split.set(history, [op]);
      else own.push(op);
    }
    return split;
  }

  #of(op: MicroOperation): PartitionHistory {
    const name = nameOf(op);
    let history = this.#byName.get(name);
    if (history === undefined) {
      history = { topic: op.topic, partition: op.partition, sends: [], readers: new Map() };
      this.#byName.set(name, history);
    }
    return history;
  }
}

function nameOf({ topic, partition }: MicroOperation): string {
  return `${topic}/${partition}`;
}

function eventsOf({ readers }: PartitionHistory, client: string): ReaderEvent[] {
  let events = readers.get(client);
  if (events === undefined) {
    events = [];
    readers.set(client, events);
  }
  return events;
}
