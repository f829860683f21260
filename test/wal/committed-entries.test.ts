import { describe, expect, test } from '@jest/globals';
import { CommittedEntries } from '../../broker-runtime/src/wal/conditional/committed-entries.ts';
import { JournalClosedError } from '../../broker-runtime/src/wal/journal.ts';
import { SimClock } from '../simulation/world/sim-clock.ts';
import { recentOf } from './follower-world.ts';
import { JournalWorld, writeLine } from './journal-world.ts';

const LIMITS = { entries: 4, bytes: 100, waiters: 2 };

function filled(sizes: readonly number[], limits = LIMITS): CommittedEntries {
  const committed = new CommittedEntries(new SimClock(), limits);
  sizes.forEach((size, n) => committed.add(n + 1, new Uint8Array(size).fill(n + 1)));
  return committed;
}

function sequencesAfter(committed: CommittedEntries, sequence: number, maxBytes = Infinity): unknown {
  const recent = committed.after(sequence, maxBytes);
  return recent === 'too-far-behind' ? recent : recent.entries.map((entry) => entry[0]);
}

describe('the ring of committed entries', () => {
  test('has the newest, in order, from any sequence on', () => {
    const committed = filled([10, 10, 10]);
    expect(sequencesAfter(committed, 0)).toEqual([1, 2, 3]);
    expect(sequencesAfter(committed, 2)).toEqual([3]);
    expect(sequencesAfter(committed, 3)).toEqual([]);
    expect(sequencesAfter(committed, 99)).toEqual([]);
  });

  test.each([
    ['entries', [1, 1, 1, 1, 1, 1], [3, 4, 5, 6]],
    ['bytes', [40, 40, 40, 30], [3, 4]],
    ['bytes, when one alone is larger', [10, 200], []],
  ])('is bounded in %s: what fell out is too far behind', (_what, sizes, kept) => {
    const committed = filled(sizes);
    const gone = sizes.length - kept.length;
    expect(sequencesAfter(committed, gone)).toEqual(kept);
    expect(sequencesAfter(committed, gone - 1)).toBe('too-far-behind');
  });

  test('an answer is bounded, but never empty while there is something', () => {
    const committed = filled([10, 10, 10]);
    expect(sequencesAfter(committed, 0, 20)).toEqual([1, 2]);
    expect(sequencesAfter(committed, 0, 5)).toEqual([1]);
  });

  test('a log that is read anew begins where its snapshot stands', () => {
    const committed = filled([10, 10]);
    committed.restart(7);
    expect(sequencesAfter(committed, 6)).toBe('too-far-behind');
    expect(sequencesAfter(committed, 7)).toEqual([]);
    committed.add(8, new Uint8Array([8]));
    expect(sequencesAfter(committed, 7)).toEqual([8]);
    expect(() => committed.add(10, new Uint8Array(1))).toThrow(/I18/);
  });
});

describe('the journal, for followers', () => {
  test('has its fence entry and what it replayed, so a change of the writer sends nobody to the bucket', async () => {
    const world = new JournalWorld();
    const old = await world.open();
    await world.run(writeLine(old.journal, 'old'));
    const { journal } = await world.open();
    await world.run(writeLine(journal, 'young'));
    expect(journal.epoch).toBe(2);
    const stored = world.logKeys().map((key) => Buffer.from(world.bucket.objects.get(key)?.body ?? []));
    expect(recentOf(journal, 0).map((entry) => Buffer.from(entry))).toEqual(stored);
  });

  test('behind a snapshot only the tail is there', async () => {
    const world = new JournalWorld();
    const old = await world.open({ snapshotEveryEntries: 4 });
    for (let n = 0; n < 5; n++) await world.run(writeLine(old.journal, `${n}`));
    await world.run(old.journal.close());
    const { journal } = await world.open();
    expect(journal.entriesAfter(3, 1_000)).toBe('too-far-behind');
    expect(recentOf(journal, 4)).toHaveLength(3);
  });

  test('an entry that may or may not be in the log is not handed out', async () => {
    const world = new JournalWorld();
    const { journal, store } = await world.open();
    store.failNext('put', { kind: 'lose-answer' });
    const writing = writeLine(journal, 'unsure');
    await world.env.clock.advance(1);
    expect(recentOf(journal, 1)).toEqual([]);
    await world.run(writing);
    expect(recentOf(journal, 1)).toHaveLength(1);
  });

  test('listeners hear of an entry when the images stand at it, before its decisions are answered', async () => {
    const world = new JournalWorld();
    const { journal, image } = await world.open();
    const told: string[] = [];
    const stop = journal.onCommitted((sequence) => told.push(`${sequence}: ${image.lines.join()}`));
    const answered = ['a', 'b'].map((line) => writeLine(journal, line).then(() => told.push(line)));
    await world.run(Promise.all(answered));
    stop();
    await world.run(writeLine(journal, 'c'));
    expect(told).toEqual(['2: a,b', 'a', 'b']);
  });

  test('a long poll ends with the next entry, with its time, with its signal, and with the journal', async () => {
    const world = new JournalWorld();
    const { journal } = await world.open();
    expect(await journal.waitForEntries(0, 1_000)).toBe(true);
    const next = journal.waitForEntries(1, 1_000);
    await world.run(writeLine(journal, 'a'));
    expect(await next).toBe(true);
    expect(await world.run(journal.waitForEntries(2, 1_000))).toBe(false);

    const abort = new AbortController();
    const aborted = journal.waitForEntries(2, 1_000, abort.signal).catch((error: unknown) => error);
    abort.abort(new RangeError('the follower is gone'));
    expect(await aborted).toBeInstanceOf(RangeError);

    const closed = journal.waitForEntries(2, 1_000).catch((error: unknown) => error);
    await world.run(journal.close());
    expect(await closed).toBeInstanceOf(JournalClosedError);
    await expect(journal.waitForEntries(2, 1_000)).rejects.toBeInstanceOf(JournalClosedError);
    expect(world.env.clock.pendingTimers).toBe(0);
  });

  test('a journal that failed lets its followers go', async () => {
    const world = new JournalWorld();
    const old = await world.open();
    const waiting = old.journal.waitForEntries(1, 60_000).catch((error: unknown) => error);
    await world.open();
    await world.run(writeLine(old.journal, 'too late').catch(() => undefined));
    expect(await waiting).toBeInstanceOf(JournalClosedError);
  });

  test('those who wait are counted', async () => {
    const committed = filled([]);
    const waiting = [1, 2].map(() => committed.waitFor(0, 1_000));
    await expect(committed.waitFor(0, 1_000)).rejects.toMatchObject({ code: 'TOO_MANY_WAITERS' });
    committed.add(1, new Uint8Array(1));
    expect(await Promise.all(waiting)).toEqual([true, true]);
  });

  test('opening gives up with its signal, and a lease lost later closes the log', async () => {
    const world = new JournalWorld();
    const store = world.store();
    const abort = new AbortController();
    const { journal, failures } = await world.open({ signal: abort.signal, minimumEpoch: 7 }, store);
    expect(journal.epoch).toBe(7);
    abort.abort(new RangeError('the term has ended'));
    await expect(world.run(writeLine(journal, 'late'))).rejects.toBeInstanceOf(JournalClosedError);
    expect(failures).toHaveLength(1);
    await expect(world.open({ signal: abort.signal })).rejects.toBeInstanceOf(RangeError);
  });
});
