import { describe, expect, test } from '@jest/globals';
import type { FetchAnswer, SeenRecord } from './cluster/cluster-client.ts';
import { GroupHistory } from './cluster/group-history.ts';
import { ClusterHistory, type Drained } from './cluster/history.ts';
import { keyOf, RETAINED_BYTES, type TopicKind, valueOf } from './cluster/topic-kinds.ts';

const RECORDS = 12;
const TRIMMED_TO = 5;

/** One partition that was written, read, and read back in the end; a mutation changes what the clients were told. */
interface Story {
  kind: TopicKind;
  /** Asked for and acknowledged; undefined: nobody asked. */
  trimTo: number | undefined;
  /** The answer to a read after that. */
  fetch: { from: number; answer: FetchAnswer };
  drained: { startOffset: number; records: SeenRecord[]; bytes: number };
}

function recordAt(offset: number): SeenRecord {
  const value = valueOf('t', 0, 'p', offset);
  return { offset, value, key: keyOf(value) };
}

function recordsFrom(offset: number): SeenRecord[] {
  return Array.from({ length: RECORDS - offset }, (_, n) => recordAt(offset + n));
}

/** The newest of each key. */
function compacted(): SeenRecord[] {
  const newest = new Map(recordsFrom(0).map((record) => [record.key, record]));
  return [...newest.values()].sort((a, b) => a.offset - b.offset);
}

function story(kind: TopicKind): Story {
  const isTrimmed = kind === 'trimmed' || kind === 'retained';
  const startOffset = isTrimmed ? TRIMMED_TO : 0;
  const records = kind === 'compacted' ? compacted() : recordsFrom(startOffset);
  const answer: FetchAnswer = {
    errorCode: 0,
    highWatermark: RECORDS,
    logStartOffset: startOffset,
    records,
    nextOffset: RECORDS,
    bytes: RETAINED_BYTES,
  };
  return {
    kind,
    trimTo: kind === 'trimmed' ? TRIMMED_TO : undefined,
    fetch: { from: startOffset, answer },
    drained: { startOffset, records: [...records], bytes: RETAINED_BYTES },
  };
}

function violationsOf({ kind, trimTo, fetch, drained }: Story): string[] {
  const violations: string[] = [];
  const history = new ClusterHistory((what) => violations.push(what));
  history.expect('t', kind);
  const before = history.known('t', 0);
  for (let offset = 0; offset < RECORDS; offset++) {
    history.acked('t', 0, 'p', offset, [valueOf('t', 0, 'p', offset)], offset);
  }
  if (trimTo !== undefined) {
    history.trimming('t', 0, trimTo);
    history.began('t', 0, { ...before, start: trimTo }, trimTo);
  }
  const known = history.known('t', 0);
  if (fetch.answer.errorCode === 0) history.fetched('t', 0, fetch.from, known, fetch.answer);
  else history.refused('t', 0, known, fetch.from);
  history.drained('t', 0, { known: history.known('t', 0), ...drained } satisfies Drained);
  return violations;
}

interface Mutation {
  readonly what: string;
  readonly kind: TopicKind;
  readonly mutate: (story: Story) => void;
  readonly verdict: RegExp;
}

const without = (records: SeenRecord[], offset: number): SeenRecord[] =>
  records.filter((record) => record.offset !== offset);

const MUTATIONS: readonly Mutation[] = [
  {
    what: 'a record of a kept topic is gone',
    kind: 'kept',
    mutate: ({ drained }) => (drained.records = without(drained.records, 7)),
    verdict: /^I1: acknowledged and lost: t-0 offset 7/,
  },
  {
    what: 'the log of a kept topic begins later',
    kind: 'kept',
    mutate: ({ drained }) => Object.assign(drained, { startOffset: 3, records: recordsFrom(3) }),
    verdict: /^I1: t-0: the log begins at 3, nobody asked for more than 0/,
  },
  {
    what: 'a known offset of a kept topic is out of range',
    kind: 'kept',
    mutate: ({ fetch }) => (fetch.answer = { ...fetch.answer, errorCode: 1 }),
    verdict: /^I8: .* is out of range/,
  },
  {
    what: 'a record above the start of a trimmed log is gone',
    kind: 'trimmed',
    mutate: ({ drained }) => (drained.records = without(drained.records, 7)),
    verdict: /^I1: acknowledged and lost: t-0 offset 7/,
  },
  {
    what: 'more is trimmed than anybody asked for',
    kind: 'trimmed',
    mutate: ({ drained }) => Object.assign(drained, { startOffset: 6, records: recordsFrom(6) }),
    verdict: /^I1: t-0: the log begins at 6, nobody asked for more than 5/,
  },
  {
    what: 'an acknowledged trim is forgotten',
    kind: 'trimmed',
    mutate: ({ drained }) => Object.assign(drained, { startOffset: 0, records: recordsFrom(0) }),
    verdict: /^I8: t-0: the log begins at 0, somebody was told of 5 before/,
  },
  {
    what: 'a trimmed record is served',
    kind: 'trimmed',
    mutate: (s) => (s.fetch = { from: 4, answer: { ...s.fetch.answer, records: recordsFrom(4) } }),
    verdict: /^I1: t-0: 4 was served, the log began at 5/,
  },
  {
    what: 'an offset at the start of a trimmed log is out of range',
    kind: 'trimmed',
    mutate: ({ fetch }) => (fetch.answer = { ...fetch.answer, errorCode: 1 }),
    verdict: /^I8: .*offset 5 was known and is out of range/,
  },
  {
    what: 'retention leaves less than it is to keep',
    kind: 'retained',
    mutate: ({ drained }) => (drained.bytes = RETAINED_BYTES - 1),
    verdict: /^I1: t-0: \d+ bytes are left/,
  },
  {
    what: 'a record above what retention dropped is gone',
    kind: 'retained',
    mutate: ({ drained }) => (drained.records = without(drained.records, 8)),
    verdict: /^I1: acknowledged and lost: t-0 offset 8/,
  },
  {
    what: 'the start of a log under retention goes back',
    kind: 'retained',
    mutate: ({ drained }) => Object.assign(drained, { startOffset: 2, records: recordsFrom(2) }),
    verdict: /^I8: t-0: the log begins at 2/,
  },
  {
    what: 'the last value of a key is gone',
    kind: 'compacted',
    mutate: ({ drained }) => (drained.records = without(drained.records, RECORDS - 1)),
    verdict: /^I39, I1: acknowledged and lost: t-0 offset 11/,
  },
  {
    what: 'an older value of a key stands where the last one is gone',
    kind: 'compacted',
    mutate: ({ drained }) =>
      (drained.records = [recordAt(6), ...without(drained.records, RECORDS - 1)].sort(
        (a, b) => a.offset - b.offset,
      )),
    verdict: /^I39, I1: acknowledged and lost: t-0 offset 11/,
  },
  {
    what: 'compaction moves a record to another offset',
    kind: 'compacted',
    mutate: ({ drained }) =>
      (drained.records = drained.records.map((record) =>
        record.offset === 9 ? { ...record, value: recordAt(4).value } : record,
      )),
    verdict: /^I2: t-0 offset 9/,
  },
  {
    what: 'compaction gives a value another key',
    kind: 'compacted',
    mutate: ({ drained }) =>
      (drained.records = drained.records.map((record) =>
        record.offset === 9 ? { ...record, key: 'other' } : record,
      )),
    verdict: /^I34: .* with the key other/,
  },
  {
    what: 'compaction changes the order',
    kind: 'compacted',
    mutate: ({ fetch }) => (fetch.answer = { ...fetch.answer, records: fetch.answer.records.toReversed() }),
    verdict: /^I3: t-0: 10 came where 12 was due/,
  },
  {
    what: 'compaction trims the log',
    kind: 'compacted',
    mutate: ({ drained }) => (drained.startOffset = 3),
    verdict: /^I1: t-0: the log begins at 3/,
  },
];

describe('the checker of what clients were told', () => {
  test.each(['kept', 'trimmed', 'retained', 'compacted'] as const)(
    'finds nothing in a good story (%s)',
    (kind) => {
      expect(violationsOf(story(kind))).toEqual([]);
    },
  );

  test.each(MUTATIONS)('$kind: $what', ({ kind, mutate, verdict }) => {
    const mutant = story(kind);
    mutate(mutant);
    expect(violationsOf(mutant)).toEqual(expect.arrayContaining([expect.stringMatching(verdict)]));
  });
});

describe('the checker of committed offsets (I16)', () => {
  const PLACE = 'g/t-0';

  function told(tell: (history: GroupHistory) => void): string[] {
    const violations: string[] = [];
    const history = new GroupHistory((what) => violations.push(what));
    for (const offset of [0, 1, 2]) {
      history.asked(PLACE, offset);
      history.acked(PLACE, offset, false);
    }
    tell(history);
    return violations;
  }

  test('takes the last commit, one under way, and one that came while it was asked', () => {
    const violations = told((history) => {
      history.found(PLACE, history.known(PLACE), 2);
      history.asked(PLACE, 3);
      history.found(PLACE, history.known(PLACE), 3);
      const known = history.known(PLACE);
      history.acked(PLACE, 3, false);
      history.found(PLACE, known, 2);
      history.found(PLACE, known, 3);
    });
    expect(violations).toEqual([]);
  });

  test('takes a commit whose first request never ended, however late', () => {
    const violations = told((history) => {
      history.asked(PLACE, 3);
      history.acked(PLACE, 3, true);
      history.asked(PLACE, 4);
      history.acked(PLACE, 4, false);
      history.found(PLACE, history.known(PLACE), 3);
    });
    expect(violations).toEqual([]);
  });

  test.each([
    ['goes back', 1],
    ['is lost', -1],
    ['was never asked for', 7],
  ])('a commit that %s', (_what, found) => {
    expect(told((history) => history.found(PLACE, history.known(PLACE), found))).toEqual([
      `I16: ${PLACE}: ${found} is committed, 2 was acknowledged before`,
    ]);
  });

  test('an acknowledgement that comes after a greater one', () => {
    expect(told((history) => history.acked(PLACE, 1, false))).toEqual([
      `I16: ${PLACE}: 1 was committed after 2`,
    ]);
  });
});
