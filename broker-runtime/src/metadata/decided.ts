import type { JournalRecord } from '../wal/journal.ts';
import type { MetadataChange, TopicResult } from './cluster-metadata.ts';

/** What a decision about topics or settings answers, and what listeners learn when it is committed. */
export interface Outcome {
  readonly results: readonly TopicResult[];
  readonly change: MetadataChange;
}

export interface Decided {
  readonly records: readonly JournalRecord[];
  readonly outcome: Outcome;
}

/** Without records nothing changes. */
export function decided(
  results: readonly TopicResult[],
  records: readonly JournalRecord[] = [],
  change: Partial<MetadataChange> = {},
): Decided {
  return { records, outcome: { results, change: { created: [], deleted: [], changed: [], ...change } } };
}

export function refused(result: TopicResult): Decided {
  return decided([result]);
}
