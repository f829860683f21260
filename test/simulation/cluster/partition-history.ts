import type { TopicKind } from './topic-kinds.ts';

/** What is known of one partition. */
export interface PartitionHistory {
  readonly topic: string;
  readonly partition: number;
  readonly kind: TopicKind;
  readonly valueAt: Map<number, string>;
  readonly offsetOf: Map<string, number>;
  readonly acked: Map<number, string>;
  /** One past the greatest offset that anybody was told of by an acknowledgement or a read. */
  end: number;
  /** The greatest start of the log that anybody was told of. */
  start: number;
  /** The greatest start that anybody asked for. */
  askedStart: number;
  /** Newest acknowledged counter and offset of each producer. */
  readonly newest: Map<string, { counter: number; offset: number }>;
}

/** What somebody knows before he asks: the answer may not say less. */
export interface Known {
  readonly start: number;
  readonly end: number;
}

export function newHistory(topic: string, partition: number, kind: TopicKind): PartitionHistory {
  return {
    topic,
    partition,
    kind,
    valueAt: new Map(),
    offsetOf: new Map(),
    acked: new Map(),
    end: 0,
    start: 0,
    askedStart: 0,
    newest: new Map(),
  };
}

/** How far the log may have been trimmed at most. */
export function greatestStart({ kind, askedStart }: PartitionHistory): number {
  switch (kind) {
    case 'trimmed':
      return askedStart;
    case 'retained':
      return Infinity;
    default:
      return 0;
  }
}
