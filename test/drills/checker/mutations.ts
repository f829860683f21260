import type { AnomalyKind } from '../../../drills/checker/anomalies.ts';
import type { MicroOperation, Operation } from '../../../drills/history/operation.ts';
import { headOf, parseHead } from '../../../drills/history/value.ts';
import type { SimRandom } from '../../simulation/world/sim-random.ts';
import { GROUP, TOPIC } from './good-history.ts';

/** Damage of one kind, done to a copy of a good history at a place drawn at random. */
export interface Mutation {
  readonly name: string;
  readonly expected: AnomalyKind;
  readonly apply: (history: readonly Operation[], random: SimRandom) => readonly Operation[];
}

type Placed = MicroOperation & { readonly offset: number; readonly value: string };

const isPlaced = (op: MicroOperation): op is Placed => op.offset !== undefined && op.value !== undefined;
const isPoll = ({ f }: Operation) => f === 'poll';
const isTail = ({ client }: Operation) => client === 'tail';
const isMember = ({ client }: Operation) => client.startsWith('member');
const recordsOf = ({ ops }: Operation) => ops.filter(isPlaced);

function pick<T>(items: readonly T[], random: SimRandom): T {
  const item = items[random.below(items.length)];
  if (item === undefined) throw new Error('this history has no place for the mutation');
  return item;
}

/** Replaces (or drops) elements of the operations that `where` selects. */
function rewrite(
  history: readonly Operation[],
  where: (operation: Operation) => boolean,
  change: (op: MicroOperation) => MicroOperation | undefined,
): Operation[] {
  return history.map((operation) =>
    where(operation) ? { ...operation, ops: operation.ops.flatMap((op) => change(op) ?? []) } : operation,
  );
}

function replace(
  history: readonly Operation[],
  operation: Operation,
  change: Partial<Operation>,
): Operation[] {
  return history.map((other) => (other === operation ? { ...other, ...change } : other));
}

const drop = (history: readonly Operation[], where: (operation: Operation) => boolean, value: string) =>
  rewrite(history, where, (op) => (op.value === value ? undefined : op));

function acked(history: readonly Operation[]): Placed[] {
  return history.filter(({ f, type }) => f === 'send' && type === 'ok').flatMap(recordsOf);
}

function read(history: readonly Operation[]): Placed[] {
  return history.filter(({ client }) => client === 'drain').flatMap(recordsOf);
}

function ends(history: readonly Operation[]): Map<number, number> {
  return new Map(read(history).map(({ partition, offset }) => [partition, offset + 1]));
}

/** Two acknowledged writes to one partition, the second sent after the first was answered. */
function inTurn(history: readonly Operation[], random: SimRandom): readonly [Operation, Operation] {
  const sends = history.filter(({ f, type }) => f === 'send' && type === 'ok');
  const pairs = sends.flatMap((first) =>
    sends
      .filter(({ t0, ops }) => t0 > first.t1 && ops[0]?.partition === first.ops[0]?.partition)
      .slice(0, 1)
      .map((second) => [first, second] as const),
  );
  return pick(pairs, random);
}

function shifted(operation: Operation, by: number): Partial<Operation> {
  return { ops: operation.ops.map((op) => ({ ...op, offset: (op.offset ?? 0) + by })) };
}

const offsetOf = (operation: Operation) => operation.ops[0]?.offset ?? -1;

export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'an acknowledged record is in no read',
    expected: 'lost-write',
    apply: (history, random) => {
      const end = ends(history);
      const inside = acked(history).filter(({ partition, offset }) => offset + 1 < (end.get(partition) ?? 0));
      return drop(history, isPoll, pick(inside, random).value);
    },
  },
  {
    name: 'a batch nobody knew of is there only in part',
    expected: 'lost-write',
    apply: (history, random) => {
      const end = ends(history);
      const seen = new Map(read(history).map((record) => [record.value, record]));
      const torn = history
        .filter(({ f, type, ops }) => f === 'send' && type === 'info' && ops.length > 1)
        .flatMap(({ ops }) => ops.flatMap(({ value = '' }) => seen.get(value) ?? []))
        .filter(({ partition, offset }) => offset + 1 < (end.get(partition) ?? 0));
      return drop(history, isPoll, pick(torn, random).value);
    },
  },
  {
    name: 'the last acknowledged records are in no read',
    expected: 'unseen',
    apply: (history, random) => {
      const last = pick(acked(history), random);
      return rewrite(history, isPoll, (op) =>
        op.partition === last.partition && isPlaced(op) && op.offset >= last.offset ? undefined : op,
      );
    },
  },
  {
    name: 'two records changed places',
    expected: 'inconsistent-offsets',
    apply: (history, random) => {
      const one = pick(acked(history), random);
      const other = pick(
        read(history).filter(({ partition, value }) => partition === one.partition && value !== one.value),
        random,
      );
      return rewrite(history, isPoll, (op) =>
        op.value === one.value
          ? { ...op, value: other.value }
          : op.value === other.value
            ? { ...op, value: one.value }
            : op,
      );
    },
  },
  {
    name: 'two records of one producer changed places, and so did their acknowledgements',
    expected: 'reordered',
    apply: (history, random) => {
      const all = acked(history).map((record) => ({ record, identity: parseHead(record.value) }));
      const one = pick(
        all.filter(({ record, identity }) =>
          all.some(
            (other) =>
              other.identity?.producer === identity?.producer &&
              other.record.partition === record.partition &&
              other.record.offset > record.offset,
          ),
        ),
        random,
      );
      const other = pick(
        all.filter(
          ({ record, identity }) =>
            identity?.producer === one.identity?.producer &&
            record.partition === one.record.partition &&
            record.offset > one.record.offset,
        ),
        random,
      );
      return rewrite(
        history,
        () => true,
        (op) =>
          op.value === one.record.value
            ? { ...op, value: other.record.value }
            : op.value === other.record.value
              ? { ...op, value: one.record.value }
              : op,
      );
    },
  },
  {
    name: 'a record stands twice',
    expected: 'duplicate',
    apply: (history, random) => {
      const record = pick(read(history), random);
      const offset = ends(history).get(record.partition) ?? 0;
      const drain = history.filter(({ client, f }) => client === 'drain' && f === 'poll').at(-1);
      if (drain === undefined) throw new Error('no drain');
      return replace(history, drain, { ops: [...drain.ops, { ...record, offset }] });
    },
  },
  {
    name: 'one reader sees another value',
    expected: 'inconsistent-offsets',
    apply: (history, random) => {
      const poll = pick(
        history.filter((operation) => isTail(operation) && recordsOf(operation).length > 0),
        random,
      );
      const record = pick(recordsOf(poll), random);
      const other = pick(
        read(history).filter(
          ({ partition, value }) => partition === record.partition && value !== record.value,
        ),
        random,
      );
      return replace(history, poll, {
        ops: poll.ops.map((op) => (op === record ? { ...op, value: other.value } : op)),
      });
    },
  },
  {
    name: 'a byte of a value changed',
    expected: 'wrong-bytes',
    apply: (history, random) => {
      const { value } = pick(read(history), random);
      const at = random.below(value.length);
      const changed = value.slice(0, at) + (value[at] === 'x' ? 'y' : 'x') + value.slice(at + 1);
      return rewrite(history, isMember, (op) => (op.value === value ? { ...op, value: changed } : op));
    },
  },
  {
    name: 'a value of another topic is read here',
    expected: 'wrong-bytes',
    apply: (history, random) => {
      const record = pick(read(history), random);
      const identity = parseHead(record.value);
      if (identity === undefined) throw new Error('no value');
      const foreign = headOf({ ...identity, topic: 'payments' });
      return rewrite(history, isPoll, (op) => (op.value === record.value ? { ...op, value: foreign } : op));
    },
  },
  {
    name: 'a value nobody sent is read',
    expected: 'unsent-read',
    apply: (history, random) => {
      const { value, partition } = pick(read(history), random);
      const foreign = headOf({ topic: TOPIC, partition, producer: 'nobody', counter: 1 });
      return rewrite(history, isPoll, (op) => (op.value === value ? { ...op, value: foreign } : op));
    },
  },
  {
    name: 'a failed write is read',
    expected: 'aborted-read',
    apply: (history, random) => {
      const send = pick(
        history.filter(({ f, type }) => f === 'send' && type === 'ok'),
        random,
      );
      return replace(history, send, { type: 'fail' });
    },
  },
  {
    name: 'an acknowledgement names another offset',
    expected: 'inconsistent-offsets',
    apply: (history, random) => {
      const send = pick(
        history.filter(({ f, type }) => f === 'send' && type === 'ok'),
        random,
      );
      return replace(history, send, shifted(send, 1_000));
    },
  },
  {
    name: 'an acknowledgement goes back',
    expected: 'nonmonotonic-send',
    apply: (history, random) => {
      const [first, second] = inTurn(history, random);
      return replace(history, first, shifted(first, offsetOf(second) - offsetOf(first) + 7));
    },
  },
  {
    name: 'the offsets of one acknowledgement are turned round',
    expected: 'int-nonmonotonic-send',
    apply: (history, random) => {
      const send = pick(
        history.filter(({ f, type, ops }) => f === 'send' && type === 'ok' && ops.length > 1),
        random,
      );
      const offsets = send.ops.map(({ offset }) => offset ?? 0).reverse();
      return replace(history, send, {
        ops: send.ops.map((op, n) => ({ ...op, offset: offsets[n] ?? 0 })),
      });
    },
  },
  {
    name: 'a late write is acknowledged at offset 0',
    expected: 'spurious-zero',
    apply: (history, random) => {
      const [, second] = inTurn(history, random);
      return replace(history, second, shifted(second, -offsetOf(second)));
    },
  },
  {
    name: 'the log has a hole',
    expected: 'gap',
    apply: (history, random) => {
      const from = pick(read(history), random);
      return rewrite(
        history,
        ({ f }) => f === 'send' || f === 'poll',
        (op) =>
          op.partition === from.partition && op.offset !== undefined && op.offset >= from.offset
            ? { ...op, offset: op.offset + 1 }
            : op,
      );
    },
  },
  {
    name: 'a reader gets no record at the beginning of a poll',
    expected: 'poll-skip',
    apply: (history, random) => {
      const poll = pick(
        history.filter((operation) => isTail(operation) && recordsOf(operation).length > 1),
        random,
      );
      const [first] = recordsOf(poll);
      return replace(history, poll, { ops: poll.ops.filter((op) => op !== first) });
    },
  },
  {
    name: 'a reader misses a record inside a poll',
    expected: 'int-poll-skip',
    apply: (history, random) => {
      const poll = pick(
        history.filter((operation) => isPoll(operation) && recordsOf(operation).length > 2),
        random,
      );
      const inside = pick(recordsOf(poll).slice(1, -1), random);
      return replace(history, poll, { ops: poll.ops.filter((op) => op !== inside) });
    },
  },
  {
    name: 'a group never gets a record',
    expected: 'poll-skip',
    apply: (history, random) => {
      const end = ends(history);
      const inside = read(history).filter(
        ({ partition, offset }) => offset > 0 && offset + 1 < (end.get(partition) ?? 0),
      );
      // Also where it is the first or last of its polls: only the group as a whole shows it.
      return drop(history, isMember, pick(inside, random).value);
    },
  },
  {
    name: 'a poll comes twice',
    expected: 'nonmonotonic-poll',
    apply: (history, random) => {
      const poll = pick(
        history.filter((operation) => isTail(operation) && recordsOf(operation).length > 0),
        random,
      );
      return history.flatMap((operation) => (operation === poll ? [operation, operation] : [operation]));
    },
  },
  {
    name: 'the records of a poll are turned round',
    expected: 'int-nonmonotonic-poll',
    apply: (history, random) => {
      const poll = pick(
        history.filter((operation) => isPoll(operation) && recordsOf(operation).length > 1),
        random,
      );
      return replace(history, poll, { ops: [...poll.ops].reverse() });
    },
  },
  {
    name: 'a high watermark goes back',
    expected: 'watermark-regressed',
    apply: (history, random) => {
      const polls = history.filter((operation) => isTail(operation) && recordsOf(operation).length > 0);
      const poll = pick(polls, random);
      const below = random.below((recordsOf(poll).at(-1)?.offset ?? 0) + 1);
      return replace(history, poll, {
        ops: poll.ops.map((op) => (op.highWatermark === undefined ? op : { ...op, highWatermark: below })),
      });
    },
  },
  {
    name: 'a committed offset is forgotten',
    expected: 'group-offset',
    apply: (history, random) => {
      const fetch = pick(
        history.filter(({ f, ops }) => f === 'fetch-offset' && (ops[0]?.offset ?? -1) >= 0),
        random,
      );
      return replace(history, fetch, {
        t0: fetch.t0 + 10_000,
        t1: fetch.t1 + 10_000,
        ops: fetch.ops.map((op) => ({ ...op, offset: -1 })),
      });
    },
  },
  {
    name: 'a committed offset goes back',
    expected: 'group-offset',
    apply: (history, random) => {
      const commits = history.filter(({ f, type }) => f === 'commit' && type === 'ok');
      const last = pick(commits.slice(-5), random);
      const older = pick(
        commits.filter(
          ({ ops, t1 }) =>
            ops[0]?.partition === last.ops[0]?.partition &&
            t1 < last.t0 &&
            offsetOf(last) !== (ops[0]?.offset ?? -1),
        ),
        random,
      );
      const [op] = older.ops;
      if (op === undefined) throw new Error('no commit');
      const sameAgain = commits.some(
        ({ ops, t0 }) => ops[0]?.partition === op.partition && ops[0].offset === op.offset && t0 > older.t1,
      );
      if (sameAgain) throw new Error('this offset was committed again');
      const t0 = last.t1 + 20_000;
      const after = { client: 'later', f: 'fetch-offset', type: 'ok', t0, t1: t0 + 1, group: GROUP } as const;
      return [...history, { ...after, ops: [op] }];
    },
  },
  {
    name: 'an offset nobody committed is fetched',
    expected: 'group-offset',
    apply: (history, random) => {
      const fetch = pick(
        history.filter(({ f }) => f === 'fetch-offset'),
        random,
      );
      return replace(history, fetch, { ops: fetch.ops.map((op) => ({ ...op, offset: 99_999 })) });
    },
  },
  {
    name: 'a reader gets nothing any more',
    expected: 'stuck-consumer',
    apply: (history, random) => {
      const { partition } = pick(read(history), random);
      const polls = history.filter(
        (operation) => isTail(operation) && recordsOf(operation)[0]?.partition === partition,
      );
      const last = pick(polls.slice(1, -2), random);
      return history.filter(
        (operation) => !(isTail(operation) && polls.includes(operation) && operation.t1 > last.t1),
      );
    },
  },
];
