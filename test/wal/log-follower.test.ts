import { describe, expect, test } from '@jest/globals';
import { ClosedError, CorruptionError } from '../../broker-runtime/src/base/errors.ts';
import { encodeEntry, sha256 } from '../../broker-runtime/src/wal/conditional/entry.ts';
import { FollowerStoppedError, LogFollower } from '../../broker-runtime/src/wal/log-follower.ts';
import { openFollower, recentOf, stateOf } from './follower-world.ts';
import type { OpenJournal } from './journal-world.ts';
import { JournalWorld, LinesImage, writeLine } from './journal-world.ts';

async function write(world: JournalWorld, { journal }: OpenJournal, ...lines: string[]): Promise<void> {
  for (const line of lines) {
    await world.run(writeLine(journal, line));
    await world.env.clock.settle();
  }
}

function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, n) => `line ${n}`);
}

describe('opening a follower', () => {
  test('reads snapshot and tail, writes nothing, and takes nothing over', async () => {
    const world = new JournalWorld();
    const writer = await world.open({ snapshotEveryEntries: 4 });
    await write(world, writer, ...numbered(6));
    const { follower, image, store } = await openFollower(world);
    expect(image.lines).toEqual(numbered(6));
    expect(follower).toMatchObject({ sequence: 7, epoch: 1, clusterId: writer.journal.clusterId });
    expect(store.requests).toMatchObject({ put: 0, delete: 0 });
    await write(world, writer, 'still the writer');
    expect(writer.failures).toEqual([]);
  });

  test('a cluster that does not exist yet is not created', async () => {
    const world = new JournalWorld();
    const opened = await world.run(LogFollower.open(world.env, world.store(), [new LinesImage()]));
    expect(opened).toBeUndefined();
    expect(world.bucket.objects.size).toBe(0);
  });

  test('a cluster that was just created, without an entry, is followed from its beginning', async () => {
    const world = new JournalWorld();
    const store = world.store();
    store.faults = (operation, key) =>
      operation === 'put' && key.startsWith('meta/log/') ? { kind: 'fail' } : undefined;
    const opening = world.open({}, store);
    await world.env.clock.advance(1_000);
    const { follower, image } = await openFollower(world);
    expect(follower.sequence).toBe(0);
    store.faults = undefined;
    await write(world, await opening, 'first');
    await world.run(follower.catchUp());
    expect(image.lines).toEqual(['first']);
  });

  test('waits while the store is down, until its caller gives up', async () => {
    const world = new JournalWorld();
    await world.open();
    const store = world.store();
    store.unavailable = true;
    const abort = new AbortController();
    const opening = LogFollower.open(world.env, store, [new LinesImage()], { signal: abort.signal });
    const outcome = opening.catch((error: unknown) => error);
    await world.env.clock.advance(60_000);
    abort.abort(new RangeError('enough'));
    expect(await world.run(outcome)).toBeInstanceOf(RangeError);
  });
});

describe('entries handed to a follower', () => {
  test('are applied in order, listeners hear of each when all its records are in the images', async () => {
    const world = new JournalWorld();
    const writer = await world.open();
    const { follower, image, told } = await openFollower(world);
    await world.run(Promise.all(['a', 'b', 'c'].map((line) => writeLine(writer.journal, line))));
    await write(world, writer, 'd');
    follower.apply(recentOf(writer.journal, follower.sequence));
    expect(image.lines).toEqual(['a', 'b', 'c', 'd']);
    expect(told).toEqual([
      { sequence: 2, applied: 'entry', lines: 3 },
      { sequence: 3, applied: 'entry', lines: 4 },
    ]);
  });

  test('those it has already are skipped, so an answer may come twice or overlap', async () => {
    const world = new JournalWorld();
    const writer = await world.open();
    const { follower, image } = await openFollower(world);
    await write(world, writer, 'a', 'b');
    const first = recentOf(writer.journal, 0);
    follower.apply(first);
    follower.apply(first);
    await write(world, writer, 'c');
    follower.apply(recentOf(writer.journal, 0));
    follower.apply([]);
    expect(image.lines).toEqual(['a', 'b', 'c']);
  });

  test.each<[string, (entries: readonly Uint8Array[]) => readonly Uint8Array[], RegExp]>([
    ['a gap', ([first, , third]) => [first, third].filter(isBytes), /says it is entry 4/],
    ['a gap in front', (entries) => entries.slice(1), /says it is entry 3/],
    ['the wrong order', ([first, second, third]) => [first, third, second].filter(isBytes), /says it is/],
    ['a flipped bit', (entries) => entries.map((entry, n) => (n === 1 ? flipped(entry) : entry)), /damaged/],
    [
      'a cut entry',
      (entries) => entries.map((entry, n) => (n === 2 ? entry.subarray(1) : entry)),
      /not a log/,
    ],
  ])('%s: not one entry of the batch is applied', async (_what, change, message) => {
    const world = new JournalWorld();
    const writer = await world.open();
    const { follower, image, told } = await openFollower(world);
    await write(world, writer, 'a', 'b', 'c');
    const entries = recentOf(writer.journal, 1);
    const broken = (): void => follower.apply(change(entries));
    expect(broken).toThrow(CorruptionError);
    expect(broken).toThrow(message);
    expect([image.lines, follower.sequence, told]).toEqual([[], 1, []]);
    follower.apply(entries);
    expect(image.lines).toEqual(['a', 'b', 'c']);
  });

  test.each([
    ['I18: of another history', { writerEpoch: 1, prevHash: new Uint8Array(32), kind: 7 }, /hash chain/],
    ['I19: of an earlier epoch', { writerEpoch: 0, prevHash: undefined, kind: 7 }, /I19/],
    [
      'T23: with records of a kind it does not know',
      { writerEpoch: 1, prevHash: undefined, kind: 8 },
      /kind 8/,
    ],
  ])('%s: refused, nothing changes', async (_what, { writerEpoch, prevHash, kind }, message) => {
    const world = new JournalWorld();
    const writer = await world.open();
    await write(world, writer, 'a');
    const { follower, image } = await openFollower(world);
    const last = recentOf(writer.journal, 1)[0] ?? new Uint8Array(0);
    const records = [7, kind].map((of) => ({ kind: of, bytes: Buffer.from('x') }));
    const entry = encodeEntry({
      sequence: 3,
      writerEpoch,
      nonce: new Uint8Array(16),
      prevHash: prevHash ?? sha256(last),
      records,
    });
    expect(() => follower.apply([entry])).toThrow(message);
    expect([image.lines, follower.sequence]).toEqual([['a'], 2]);
  });

  test('I18: the newest entry again with other bytes shows that there are two histories', async () => {
    const [world, other] = [new JournalWorld(1), new JournalWorld(2)];
    await write(world, await world.open(), 'ours');
    const theirs = await other.open();
    await write(other, theirs, 'theirs');
    const { follower } = await openFollower(world);
    expect(() => follower.apply(recentOf(theirs.journal, 1))).toThrow(/two histories/);
  });

  test('R10: after an image failed half-way nothing is applied any more', async () => {
    const world = new JournalWorld();
    const writer = await world.open();
    const { follower, image } = await openFollower(world);
    const waiting = follower.whenApplied(3).catch((error: unknown) => error);
    image.apply = () => {
      throw new RangeError('cannot');
    };
    await write(world, writer, 'a');
    const apply = (): void => follower.apply(recentOf(writer.journal, 1));
    expect(apply).toThrow(FollowerStoppedError);
    expect(apply).toThrow(/cannot/);
    expect(follower.sequence).toBe(1);
    expect(await waiting).toBeInstanceOf(FollowerStoppedError);
    await expect(world.run(follower.catchUp())).rejects.toBeInstanceOf(FollowerStoppedError);
  });
});

describe('catching up from the bucket', () => {
  test('reads only what is new: at the end of the log that is two requests', async () => {
    const world = new JournalWorld();
    const writer = await world.open();
    await write(world, writer, ...numbered(5));
    const { follower, image, store, told } = await openFollower(world);
    const before = { ...store.requests };
    expect(await world.run(follower.catchUp())).toBe(6);
    expect([store.requests.get - before.get, store.requests.list - before.list]).toEqual([1, 1]);
    await write(world, writer, 'new');
    expect(await world.run(follower.catchUp())).toBe(7);
    expect(image.lines).toEqual([...numbered(5), 'new']);
    expect(told).toEqual([{ sequence: 7, applied: 'entry', lines: 6 }]);
  });

  test('the floor has passed it: the snapshot replaces everything, and listeners hear so', async () => {
    const world = new JournalWorld();
    const writer = await world.open({ snapshotEveryEntries: 5, gracePeriodMs: 1_000 });
    const { follower, image, told } = await openFollower(world, { gracePeriodMs: 1_000 });
    await write(world, writer, ...numbered(4));
    await world.env.clock.advance(2_000);
    await write(world, writer, ...numbered(8));
    expect(world.logKeys().length).toBeLessThan(10);
    expect(await world.run(follower.catchUp())).toBe(13);
    expect(image.lines).toEqual([...numbered(4), ...numbered(8)]);
    expect(told[0]).toMatchObject({ sequence: 10, applied: 'everything' });
    expect(told.slice(1).map(({ sequence }) => sequence)).toEqual([11, 12, 13]);
  });

  test('entries that arrive meanwhile are neither applied twice nor undone, at any moment', async () => {
    for (let atMs = 0; atMs < 200; atMs += 5) {
      const world = new JournalWorld();
      const writer = await world.open({ snapshotEveryEntries: 5 });
      const { follower, image, store, told } = await openFollower(world);
      await write(world, writer, ...numbered(12));
      store.delayMs = () => 10;
      const catchingUp = follower.catchUp();
      await world.env.clock.advance(atMs);
      await write(world, writer, 'meanwhile');
      follower.apply(recentOf(writer.journal, follower.sequence));
      expect(follower.sequence).toBe(14);
      await world.run(catchingUp);
      expect(image.lines).toEqual([...numbered(12), 'meanwhile']);
      const sequences = told.map(({ sequence }) => sequence);
      expect(sequences).toEqual([...new Set(sequences)].sort((a, b) => a - b));
    }
  });

  test('a call shows at least what was committed before it, also while another call is under way', async () => {
    const world = new JournalWorld();
    const writer = await world.open();
    const { follower, store } = await openFollower(world);
    store.delayMs = () => 10;
    const first = follower.catchUp();
    await world.env.clock.advance(19);
    await write(world, writer, 'new');
    const [second, third] = [follower.catchUp(), follower.catchUp()];
    expect(await world.run(Promise.all([first, second, third]))).toEqual([1, 2, 2]);
    expect(third).toBe(second);
  });

  test('M4: what landed late in a deleted slot is not applied, however long the store was away', async () => {
    const gracePeriodMs = 60_000;
    const world = new JournalWorld();
    const old = await world.open({ gracePeriodMs });
    const { follower, image, store } = await openFollower(world, { gracePeriodMs });
    old.store.unavailable = true;
    const zombie = writeLine(old.journal, 'never committed').catch(() => undefined);
    // The follower has seen the floor; then it and the old writer are cut off.
    store.faults = (operation) => (operation === 'list' ? { kind: 'fail' } : undefined);
    const catchingUp = follower.catchUp();
    await world.env.clock.advance(1_000);
    const young = await world.open({ gracePeriodMs, snapshotEveryEntries: 4 });
    await write(world, young, ...numbered(6));
    await world.env.clock.advance(2 * gracePeriodMs);
    await write(world, young, 'x', 'y', 'z', 'last');
    old.store.unavailable = false;
    await world.run(zombie);
    expect(world.logKeys()[0]).toMatch(/0002$/);

    const seen: string[] = [];
    follower.onApplied(() => seen.push(...image.lines));
    store.faults = undefined;
    await world.run(catchingUp);
    expect(image.lines).toEqual([...numbered(6), 'x', 'y', 'z', 'last']);
    expect(seen).not.toContain('never committed');
  });
});

describe('waiting for a sequence', () => {
  test('resolves when it is in the images, at once when it is already', async () => {
    const world = new JournalWorld();
    const writer = await world.open();
    const { follower, image } = await openFollower(world);
    await follower.whenApplied(1);
    const seen: string[][] = [];
    const waiting = [3, 2].map((sequence) =>
      follower.whenApplied(sequence).then(() => void seen.push([`${sequence}`, ...image.lines])),
    );
    await write(world, writer, 'a');
    await world.run(follower.catchUp());
    expect(seen).toEqual([['2', 'a']]);
    await write(world, writer, 'b');
    await world.run(follower.catchUp());
    await Promise.all(waiting);
    expect(seen[1]).toEqual(['3', 'a', 'b']);
  });

  test('ends with its signal, with the follower, and at its limit', async () => {
    const world = new JournalWorld();
    await world.open();
    const { follower } = await openFollower(world);
    const abort = new AbortController();
    const aborted = follower.whenApplied(9, abort.signal).catch((error: unknown) => error);
    abort.abort(new RangeError('enough'));
    expect(await aborted).toBeInstanceOf(RangeError);
    const waiting = Array.from({ length: 10_000 }, () =>
      follower.whenApplied(9).catch((error: unknown) => error),
    );
    await expect(follower.whenApplied(9)).rejects.toMatchObject({ code: 'TOO_MANY_WAITERS' });
    follower.close();
    const errors = await Promise.all(waiting);
    expect(errors.every((error) => error instanceof ClosedError)).toBe(true);
    await expect(follower.catchUp()).rejects.toBeInstanceOf(ClosedError);
    expect(() => follower.apply([])).toThrow(ClosedError);
  });

  test('closing ends a catching up that waits for the store', async () => {
    const world = new JournalWorld();
    await world.open();
    const { follower, store } = await openFollower(world);
    store.unavailable = true;
    const outcome = follower.catchUp().catch((error: unknown) => error);
    await world.env.clock.advance(60_000);
    expect(follower.trouble).toMatch(/^waiting for the object store since/);
    follower.close();
    expect(await world.run(outcome)).toBeInstanceOf(ClosedError);
  });
});

test('a follower in the process of the writer has images of its own, never ahead of the log', async () => {
  const world = new JournalWorld();
  const store = world.store();
  const writer = await world.open({}, store);
  const { follower, image } = await openFollower(world);
  writer.journal.onCommitted(() => follower.apply(recentOf(writer.journal, follower.sequence)));
  store.delayMs = () => 20;
  const writing = writeLine(writer.journal, 'line');
  await world.env.clock.advance(10);
  expect([writer.image.lines, image.lines]).toEqual([['line'], []]);
  await world.run(writing);
  expect(stateOf(image)).toBe(stateOf(writer.image));
});

function flipped(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  copy[20] = (copy[20] ?? 0) ^ 1;
  return copy;
}

function isBytes(entry: Uint8Array | undefined): entry is Uint8Array {
  return entry !== undefined;
}
