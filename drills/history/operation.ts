import { MillraceError } from '../../broker-runtime/src/base/errors.ts';

/**
 * One thing a client did, as one line of JSON: what it asked, when, and what it was told.
 *
 *     {"client":"p0","f":"send","type":"ok","t0":12.3,"t1":14.9,"ops":[{"topic":"t","partition":0,"offset":7,"value":"…"}]}
 *
 * | f            | an element of `ops`                                                                          |
 * | ------------ | -------------------------------------------------------------------------------------------- |
 * | send         | one record, in order; `offset` when acknowledged                                             |
 * | poll         | one record, in order; and one with `highWatermark` alone, when the client was told it        |
 * | commit       | the `offset` asked for                                                                       |
 * | fetch-offset | the `offset` answered, -1 for none                                                           |
 * | assign       | all partitions the client reads from now on; `offset` when it chose where it begins          |
 *
 * A reader that ends assigns itself nothing (`"mode":"assign","ops":[]`).
 *
 * Unknown fields are kept out, so that a later kind of operation can add its own.
 */
export interface Operation {
  readonly client: string;
  readonly f: OperationKind;
  /** `ok`: it happened. `fail`: it did not and never will. `info`: nobody knows. */
  readonly type: Outcome;
  /** When it was asked and when the answer was there: milliseconds on the one monotonic clock of the history. */
  readonly t0: number;
  readonly t1: number;
  /** Of commit, fetch-offset and assign. */
  readonly group?: string;
  /** Of assign: who chose the partitions and where to begin, the client or its group. */
  readonly mode?: 'assign' | 'subscribe';
  readonly error?: string;
  readonly ops: readonly MicroOperation[];
}

export interface MicroOperation {
  readonly topic: string;
  readonly partition: number;
  readonly offset?: number;
  readonly value?: string;
  readonly highWatermark?: number;
}

export const OPERATION_KINDS = ['send', 'poll', 'commit', 'fetch-offset', 'assign'] as const;
export type OperationKind = (typeof OPERATION_KINDS)[number];
export const OUTCOMES = ['ok', 'fail', 'info'] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** A line that is no operation: what, where, and what is expected. */
export class HistoryFormatError extends MillraceError {
  readonly code = 'HISTORY_FORMAT';
}

export function formatOperation(operation: Operation): string {
  const { t0, t1 } = operation;
  // Microseconds are as fine as a client can tell.
  return JSON.stringify({ ...operation, t0: Math.round(t0 * 1000) / 1000, t1: Math.round(t1 * 1000) / 1000 });
}

/** @param where names file and line in the error */
export function parseOperation(text: string, where: string): Operation {
  const bad = (what: string) =>
    new HistoryFormatError(`${where}: ${what}, got ${text.slice(0, 200)}; see drills/history/operation.ts`);
  let row: unknown;
  try {
    row = JSON.parse(text);
  } catch (error) {
    throw new HistoryFormatError(`${where}: no JSON, got ${text.slice(0, 200)}; was the file cut off?`, {
      cause: error,
    });
  }
  if (!isObject(row)) throw bad('an operation is an object');
  const { client, f, type, t0, t1, group, mode, error, ops } = row;
  if (typeof client !== 'string') throw bad('client must be a string');
  if (!isOneOf(OPERATION_KINDS, f)) throw bad(`f must be one of ${OPERATION_KINDS.join(', ')}`);
  if (!isOneOf(OUTCOMES, type)) throw bad(`type must be one of ${OUTCOMES.join(', ')}`);
  if (typeof t0 !== 'number' || typeof t1 !== 'number' || !(t0 <= t1)) throw bad('t0 <= t1 must be numbers');
  if (!Array.isArray(ops)) throw bad('ops must be an array');
  return {
    client,
    f,
    type,
    t0,
    t1,
    ...(typeof group === 'string' ? { group } : {}),
    ...(mode === 'assign' || mode === 'subscribe' ? { mode } : {}),
    ...(typeof error === 'string' ? { error } : {}),
    ops: ops.map((op: unknown) => parseMicroOperation(op, bad)),
  };
}

function parseMicroOperation(op: unknown, bad: (what: string) => Error): MicroOperation {
  if (!isObject(op)) throw bad('an element of ops is an object');
  const { topic, partition, offset, value, highWatermark } = op;
  if (typeof topic !== 'string' || !Number.isSafeInteger(partition))
    throw bad('ops need topic and partition');
  for (const number of [offset, highWatermark]) {
    if (number !== undefined && !Number.isSafeInteger(number)) throw bad('offsets must be integers');
  }
  if (value !== undefined && typeof value !== 'string') throw bad('a value must be a string');
  return {
    topic,
    partition: Number(partition),
    ...(offset === undefined ? {} : { offset: Number(offset) }),
    ...(value === undefined ? {} : { value }),
    ...(highWatermark === undefined ? {} : { highWatermark: Number(highWatermark) }),
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isOneOf<T>(allowed: readonly T[], value: unknown): value is T {
  return (allowed as readonly unknown[]).includes(value);
}
