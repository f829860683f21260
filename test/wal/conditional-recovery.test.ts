import { describe, expect, test } from '@jest/globals';
import { CorruptionError } from '../../broker-runtime/src/base/errors.ts';
import { encodeEntry, sha256 } from '../../broker-runtime/src/wal/conditional/entry.ts';
import { decodeFloor, encodeFloor } from '../../broker-runtime/src/wal/conditional/floor.ts';
import type { Floor } from '../../broker-runtime/src/wal/conditional/floor.ts';
import { logKey, sequenceOf } from '../../broker-runtime/src/wal/conditional/keys.ts';
import type { OpenJournal } from './journal-world.ts';
import { JournalWorld, LinesImage, writeLine } from './journal-world.ts';
import { ConditionalJournal } from '../../broker-runtime/src/wal/conditional-journal.ts';

const HOUR_MS = 3_600_000;

function floorOf(world: JournalWorld): Floor {
  return decodeFloor(world.bucket.objects.get('meta/floor')?.body ?? new Uint8Array(0));
}

async function writeLines(
  world: JournalWorld,
  { journal }: OpenJournal,
  from: number,
  count: number,
): Promise<string[]> {
  const lines = Array.from({ length: count }, (_, n) => `line ${from + n}`);
  for (const line of lines) {
    await world.run(writeLine(journal, line));
    await world.env.clock.settle();
  }
  return lines;
}

function damage(world: JournalWorld, key: string, change: (body: Uint8Array) => Uint8Array): void {
  const stored = world.bucket.objects.get(key);
  if (stored === undefined) throw new Error(`there is no ${key}`);
  world.bucket.objects.set(key, { body: change(stored.body.slice()), etag: `${stored.etag}*` });
}

function flipBit(body: Uint8Array, at: number): Uint8Array {
  body[at] = (body[at] ?? 0) ^ 1;
  return body;
}

describe('a crash at any request of a snapshot', () => {
  const kinds = ['fail', 'lose-answer'] as const;
  test.each(kinds)('leaves everything that was committed (the last request: %s)', async (kind) => {
    let requests = Infinity;
    let crashAt = 1;
    for (; requests >= crashAt; crashAt++) {
      const world = new JournalWorld();
      const old = await world.open({ snapshotEveryEntries: 4, gracePeriodMs: 1 });
      const lines = await writeLines(world, old, 0, 2);
      requests = 0;
      old.store.faults = () => {
        requests++;
        if (requests < crashAt) return undefined;
        return { kind: requests === crashAt ? kind : 'fail' };
      };
      const committed: string[] = [];
      for (let n = 0; n < 4; n++) {
        void writeLine(old.journal, `more ${n}`).then(
          () => committed.push(`more ${n}`),
          () => undefined,
        );
        await world.env.clock.advance(20);
      }
      const young = await world.open({ snapshotEveryEntries: 4, gracePeriodMs: 1 });
      expect(young.image.lines.slice(0, 2 + committed.length)).toEqual([...lines, ...committed]);
      expect(young.image.lines.length).toBeLessThanOrEqual(2 + committed.length + 1);
      await writeLines(world, young, 100, 6);
      expect((await world.linesAfterRestart()).slice(-6)).toEqual(
        Array.from({ length: 6 }, (_, n) => `line ${100 + n}`),
      );
    }
    // Appends, the snapshot, its check, the floor and the clean-up were all cut.
    expect(crashAt).toBeGreaterThan(10);
  });
});

describe('deleting what the floor has passed', () => {
  test('begins a grace period after the floor moved, keeps what readers need, and includes late landings', async () => {
    const world = new JournalWorld();
    const opened = await world.open({ snapshotEveryEntries: 5 });
    const lines = await writeLines(world, opened, 0, 12);
    const first = world.logKeys()[0] ?? '';
    const entry = world.bucket.objects.get(first);
    expect(sequenceOf(first)).toBe(1);
    expect(floorOf(world).sequence).toBe(10);

    await world.env.clock.advance(23 * HOUR_MS);
    await world.run(opened.journal.close());
    const later = await world.open({ snapshotEveryEntries: 5 });
    await world.env.clock.settle();
    expect(world.logKeys()[0]).toBe(first);
    await world.run(later.journal.close());

    await world.env.clock.advance(2 * HOUR_MS);
    const last = await world.open({ snapshotEveryEntries: 5 });
    expect(sequenceOf(world.logKeys()[0] ?? '')).toBe(10);
    expect([...world.bucket.objects.keys()].filter((key) => key.startsWith('meta/snap/'))).toEqual([
      floorOf(world).snapshot,
    ]);
    if (entry !== undefined) world.bucket.objects.set(first, entry);
    await world.run(last.journal.close());
    expect(await world.linesAfterRestart()).toEqual(lines);
    await world.env.clock.settle();
    expect(world.bucket.objects.has(first)).toBe(false);
  });

  test('I22, I24: the floor only rises, and nothing at or above it, nor its snapshot, is ever deleted', async () => {
    const world = new JournalWorld();
    world.bucket.onDelete = (key) => {
      expect(sequenceOf(key)).toBeLessThan(floorOf(world).sequence);
      expect(key).not.toBe(floorOf(world).snapshot);
    };
    const opened = await world.open({ snapshotEveryEntries: 3, gracePeriodMs: 2_400 });
    let floor = 0;
    for (let n = 0; n < 60; n++) {
      await writeLines(world, opened, n, 1);
      await world.env.clock.advance(100);
      expect(floorOf(world).sequence).toBeGreaterThanOrEqual(floor);
      floor = floorOf(world).sequence;
      expect(floorOf(world).moves.length).toBeLessThanOrEqual(31);
    }
    expect(world.logKeys().length).toBeLessThan(40);
    expect((await world.linesAfterRestart()).length).toBe(60);
  });

  test('a floor whose answer was lost is ours; one that went further is left alone', async () => {
    const world = new JournalWorld();
    const opened = await world.open({ snapshotEveryEntries: 3 });
    opened.store.faults = (operation, key) =>
      operation === 'put' && key === 'meta/floor' ? { kind: 'lose-answer' } : undefined;
    await writeLines(world, opened, 0, 2);
    await world.env.clock.advance(10_000);
    expect(floorOf(world)).toMatchObject({ sequence: 3, counter: 1 });

    opened.store.faults = undefined;
    const further = { ...floorOf(world), sequence: 1_000, uuid: 'theirs' };
    world.bucket.objects.set('meta/floor', { body: encodeFloor(further), etag: 'theirs' });
    await writeLines(world, opened, 2, 3);
    await world.env.clock.advance(10_000);
    expect(floorOf(world)).toEqual(further);
  });
});

describe('a writer that slept while the floor moved', () => {
  const gracePeriodMs = 60_000;

  test('M4, M5: wins a slot that was deleted behind its back, looks at the floor, and stops', async () => {
    const world = new JournalWorld();
    const old = await world.open({ gracePeriodMs });
    await world.run(writeLine(old.journal, 'before'));
    old.store.unavailable = true;
    const sleeping = writeLine(old.journal, 'stale').catch((error: unknown) => error);
    await world.env.clock.advance(1_000);

    const young = await world.open({ gracePeriodMs, snapshotEveryEntries: 4 });
    await writeLines(world, young, 0, 6);
    await world.env.clock.advance(2 * gracePeriodMs);
    await writeLines(world, young, 6, 4);
    const slot = 3;
    expect(world.logKeys().map(sequenceOf)).not.toContain(slot);

    old.store.unavailable = false;
    const error = await world.run(sleeping);
    expect(String(error)).toContain('another process writes this cluster: the floor has moved');
    expect(world.logKeys().map(sequenceOf)).toContain(slot);
    expect(await world.linesAfterRestart()).not.toContain('stale');
  });

  test('P4, M4: was idle, not slow: its quick append into a deleted slot is refused as well', async () => {
    const world = new JournalWorld();
    const old = await world.open({ gracePeriodMs });
    await world.run(writeLine(old.journal, 'before'));
    const young = await world.open({ gracePeriodMs, snapshotEveryEntries: 4 });
    await writeLines(world, young, 0, 6);
    await world.env.clock.advance(2 * gracePeriodMs);
    await writeLines(world, young, 6, 4);
    expect(world.logKeys().map(sequenceOf)).not.toContain(3);

    await expect(world.run(writeLine(old.journal, 'stale'))).rejects.toThrow(/the floor has moved/);
    expect(await world.linesAfterRestart()).not.toContain('stale');
  });

  test('R9: a jump of the wall clock during an append costs a look at the floor; a quick append does not', async () => {
    const world = new JournalWorld();
    const { journal, store } = await world.open();
    const gets = store.requests.get;
    await world.run(writeLine(journal, 'quick'));
    expect(store.requests.get).toBe(gets);
    store.delayMs = () => 20;
    const writing = writeLine(journal, 'suspended');
    await world.env.clock.advance(5);
    world.env.clock.jumpWall(2 * HOUR_MS);
    await world.run(writing);
    expect(store.requests.get).toBe(gets + 1);
  });
});

describe('damage', () => {
  async function prepared(): Promise<{ world: JournalWorld; snapshot: string; tail: string }> {
    const world = new JournalWorld();
    const opened = await world.open({ snapshotEveryEntries: 5 });
    await writeLines(world, opened, 0, 8);
    await world.run(opened.journal.close());
    return { world, snapshot: floorOf(world).snapshot ?? '', tail: world.logKeys().at(-1) ?? '' };
  }

  test('a flipped bit anywhere in the snapshot or in an entry is found and never served (I18, I20)', async () => {
    const { world, snapshot, tail } = await prepared();
    for (const key of [snapshot, tail]) {
      const size = world.bucket.objects.get(key)?.body.length ?? 0;
      for (let at = 0; at < size; at += 3) {
        damage(world, key, (body) => flipBit(body, at));
        await expect(world.open()).rejects.toBeInstanceOf(CorruptionError);
        damage(world, key, (body) => flipBit(body, at));
      }
    }
    expect(await world.linesAfterRestart()).toHaveLength(8);
  });

  test('a read that is damaged on its way is read again; three times are enough to stop', async () => {
    const { world, tail } = await prepared();
    for (const times of [1, 2, 3]) {
      const store = world.store();
      let left = times;
      store.faults = (operation, key) =>
        operation === 'get' && key === tail && left-- > 0 ? { kind: 'corrupt' } : undefined;
      const opening = world.open({}, store);
      if (times < 3) await world.run((await opening).journal.close());
      else await expect(opening).rejects.toBeInstanceOf(CorruptionError);
    }
  });

  test.each([
    ['an entry of 0 bytes', (): Uint8Array => new Uint8Array(0)],
    ['a cut entry', (body: Uint8Array): Uint8Array => body.subarray(0, body.length - 1)],
    [
      'an entry with something behind it',
      (body: Uint8Array): Uint8Array => Buffer.concat([body, Buffer.from([0])]),
    ],
  ])('%s is fatal', async (_what, change) => {
    const { world, tail } = await prepared();
    damage(world, tail, change);
    await expect(world.open()).rejects.toBeInstanceOf(CorruptionError);
  });

  test('an entry in another slot, and one of another history, are fatal although their checksums hold', async () => {
    const { world, tail } = await prepared();
    const before = world.logKeys().at(-2) ?? '';
    const moved = world.bucket.objects.get(before)?.body ?? new Uint8Array(0);
    damage(world, tail, () => moved);
    await expect(world.open()).rejects.toThrow(/says it is entry/);

    const other = await prepared();
    const stranger = await new JournalWorld(2).open();
    await stranger.journal.close();
    const foreign = new JournalWorld(3);
    const foreignOpened = await foreign.open({ snapshotEveryEntries: 5 });
    await writeLines(foreign, foreignOpened, 0, 8);
    damage(other.world, other.tail, () => foreign.bucket.objects.get(other.tail)?.body ?? new Uint8Array(0));
    await expect(other.world.open()).rejects.toThrow(/hash chain/);
  });

  test('a missing snapshot is fatal: never replay from entry 1, even when it is still there', async () => {
    const { world, snapshot } = await prepared();
    world.bucket.objects.delete(snapshot);
    expect(sequenceOf(world.logKeys()[0] ?? '')).toBe(1);
    await expect(world.open()).rejects.toThrow(/named by meta\/floor and missing/);
  });

  test('a missing floor is fatal while there are entries: nobody starts a second cluster over them', async () => {
    const { world } = await prepared();
    world.bucket.objects.delete('meta/floor');
    await expect(world.open()).rejects.toThrow(/never start from entry 1/);
    expect(world.bucket.objects.has('meta/floor')).toBe(false);
  });

  test.each(['{', '{}', '{"format":2}', 'null', '[]'])('the floor %s is fatal', async (text) => {
    const { world } = await prepared();
    damage(world, 'meta/floor', () => Buffer.from(text));
    await expect(world.open()).rejects.toBeInstanceOf(CorruptionError);
  });

  test('bug: one damaged answer about the floor was fatal; it is read again, and a floor that stays damaged is', async () => {
    const { world } = await prepared();
    const store = world.store();
    store.failNext('get', { kind: 'corrupt' }, 2);
    await world.open({}, store);
    expect(world.env.events.named('journal.read-again')).toHaveLength(2);
    const broken = world.store();
    broken.faults = (operation, key) =>
      operation === 'get' && key === 'meta/floor' ? { kind: 'corrupt' } : undefined;
    await expect(world.open({}, broken)).rejects.toBeInstanceOf(CorruptionError);
  });

  test('bug: a bit that flipped inside a number of the floor went unnoticed', async () => {
    const { world } = await prepared();
    const { sequence } = floorOf(world);
    damage(world, 'meta/floor', (body) =>
      Buffer.from(
        Buffer.from(body)
          .toString()
          .replace(`"sequence":${sequence}`, `"sequence":${sequence + 1}`),
      ),
    );
    await expect(world.open()).rejects.toThrow(/checksum/);
  });

  test('a hole in the log is fatal: it is not the end', async () => {
    const { world } = await prepared();
    world.bucket.objects.delete(world.logKeys().at(-2) ?? '');
    await expect(world.open()).rejects.toThrow(/is missing while/);
  });

  test('I19: an entry of an earlier epoch after one of a later is fatal', async () => {
    const { world, tail } = await prepared();
    const last = world.bucket.objects.get(tail)?.body ?? new Uint8Array(0);
    const sequence = sequenceOf(tail) + 1;
    const fields = {
      sequence,
      writerEpoch: 0,
      nonce: new Uint8Array(16),
      prevHash: sha256(last),
      records: [],
    };
    world.bucket.objects.set(logKey(sequence), { body: encodeEntry(fields).slice(), etag: 'zombie' });
    await expect(world.open()).rejects.toThrow(/I19/);
  });

  test('a snapshot that does not read back as it was written never becomes the floor', async () => {
    const world = new JournalWorld();
    const opened = await world.open({ snapshotEveryEntries: 4 });
    opened.store.faults = (operation, key) =>
      operation === 'get' && key.startsWith('meta/snap/') ? { kind: 'corrupt' } : undefined;
    await writeLines(world, opened, 0, 4);
    await world.env.clock.advance(1_000);
    expect(floorOf(world).sequence).toBe(0);
    expect(world.env.events.named('journal.maintenance-failed')).toHaveLength(1);
    opened.store.faults = undefined;
    await writeLines(world, opened, 4, 4);
    expect(floorOf(world).sequence).toBe(8);
  });

  test('T23: a record of a kind this program does not know stops the reader', async () => {
    const { world } = await prepared();
    const opening = ConditionalJournal.open(world.env, world.store(), [new LinesImage(8)], {
      writer: 'old release',
    });
    await expect(world.run(opening)).rejects.toThrow(/kind 7, this program knows 8/);
  });
});

describe('a reader while the log is being cleaned up', () => {
  test('P9: starts over when the snapshot it was about to read is gone because the floor moved', async () => {
    const world = new JournalWorld();
    const opened = await world.open({ snapshotEveryEntries: 3 });
    await writeLines(world, opened, 0, 3);
    const oldFloor = world.bucket.objects.get('meta/floor');
    const lines = await writeLines(world, opened, 3, 4);
    const newFloor = world.bucket.objects.get('meta/floor');
    if (oldFloor === undefined || newFloor === undefined) throw new Error('two floors are needed');
    await world.run(opened.journal.close());

    const gone = decodeFloor(oldFloor.body);
    world.bucket.objects.delete(gone.snapshot ?? '');
    world.bucket.objects.set('meta/floor', oldFloor);
    const reader = world.store();
    reader.faults = (operation, key) => {
      if (operation === 'get' && key === gone.snapshot) world.bucket.objects.set('meta/floor', newFloor);
      return undefined;
    };
    const young = await world.open({}, reader);
    expect(young.image.lines.slice(-4)).toEqual(lines);
    expect(young.image.lines).toHaveLength(7);
  });

  test('P9: starts over when entries vanish in the middle of its replay', async () => {
    const world = new JournalWorld();
    const opened = await world.open({ snapshotEveryEntries: 1_000 });
    await writeLines(world, opened, 0, 40);
    const oldFloor = world.bucket.objects.get('meta/floor');
    await world.run(opened.journal.close());
    const again = await world.open({ snapshotEveryEntries: 1 });
    await writeLines(world, again, 40, 1);
    await world.run(again.journal.close());
    const newFloor = world.bucket.objects.get('meta/floor');
    if (oldFloor === undefined || newFloor === undefined) throw new Error('two floors are needed');

    world.bucket.objects.set('meta/floor', oldFloor);
    const reader = world.store();
    reader.faults = (operation, key) => {
      if (operation === 'get' && key.startsWith('meta/log/') && sequenceOf(key) === 20) {
        world.bucket.objects.set('meta/floor', newFloor);
        const below = decodeFloor(newFloor.body).sequence;
        for (const old of world.logKeys()) if (sequenceOf(old) < below) world.bucket.objects.delete(old);
      }
      return undefined;
    };
    const young = await world.open({}, reader);
    expect(young.image.lines).toEqual(Array.from({ length: 41 }, (_, n) => `line ${n}`));
  });
});
