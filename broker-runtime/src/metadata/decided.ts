import type { Decision, JournalRecord } from '../wal/journal.ts';
import type { TopicResult } from './cluster-metadata.ts';

/** A decision about topics or settings: one answer per request. Without records nothing changes. */
export type Decided = Decision<readonly TopicResult[]>;

export function decided(results: readonly TopicResult[], records: readonly JournalRecord[] = []): Decided {
  return { records, result: results };
}

export function refused(result: TopicResult): Decided {
  return decided([result]);
}
