import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { sha256 } from '../../broker-runtime/src/wal/conditional/entry.ts';
import { Images } from '../../broker-runtime/src/wal/conditional/images.ts';
import { sequenceOf, snapshotKey } from '../../broker-runtime/src/wal/conditional/keys.ts';
import { encodeSnapshot } from '../../broker-runtime/src/wal/conditional/snapshot.ts';
import { decodeFloor, encodeFloor } from '../../broker-runtime/src/wal/conditional/floor.ts';
import { ConditionalLog } from '../../broker-runtime/src/wal/conditional-log.ts';
import {
  DecisionTooLargeError,
  JournalBusyError,
  JournalClosedError,
} from '../../broker-runtime/src/wal/journal.ts';
import { JournalWorld, lineDecision, LinesImage, writeLine } from './journal-world.ts';

describe('the journal', () => {
  test('what was committed is there after a restart, in order', async () => {
    const world = new JournalWorld();
    const { journal } = await world.open();
    for (const line of ['one', 'two', 'three']) await world.run(writeLine(journal, line));
    await world.run(journal.close());
    expect(await world.linesAfterRestart()).toEqual(['one', 'two', 'three']);
  });

  test('the cluster id is made once and kept', async () => {
    const world = new JournalWorld();
    const first = await world.open();
    const second = await world.open();
    expect(first.journal.clusterId).toMatch(/^[A-Za-z0-9_][A-Za-z0-9_-]{21}$/);
    expect(second.journal.clusterId).toBe(first.journal.clusterId);
  });

  test('decisions made while an entry is under way share the next one (group commit)', async () => {
    const world = new JournalWorld();
    const store = world.store();
    const { journal } = await world.open({}, store);
    store.delayMs = () => 20;
    const first = writeLine(journal, 'first');
    await world.env.clock.advance(10);
    const rest = Array.from({ length: 50 }, (_, n) => writeLine(journal, `rest ${n}`));
    const sequences = await world.run(Promise.all(rest));
    expect(new Set(sequences)).toEqual(new Set([(await first) + 1]));
    expect(journal.committedSequence).toBe((await first) + 1);
  });

  test('a decision sees the images as all earlier decisions left them', async () => {
    const world = new JournalWorld();
    const { journal, image } = await world.open();
    const append = (): Promise<string> =>
      journal.commit((sequence) => {
        const line = `line ${image.lines.length}`;
        return { ...lineDecision(line, sequence), result: line };
      });
    expect(await world.run(Promise.all([append(), append(), append()]))).toEqual([
      'line 0',
      'line 1',
      'line 2',
    ]);
  });

  test('a decision that throws is refused alone and leaves nothing behind', async () => {
    const world = new JournalWorld();
    const { journal } = await world.open();
    const before = writeLine(journal, 'before');
    const refused = journal.commit(() => {
      throw new RangeError('no');
    });
    const after = writeLine(journal, 'after');
    await expect(refused).rejects.toThrow(RangeError);
    await world.run(Promise.all([before, after]));
    expect(await world.linesAfterRestart()).toEqual(['before', 'after']);
  });

  test('a decision without records resolves after the ones before it and writes nothing', async () => {
    const world = new JournalWorld();
    const { journal, store } = await world.open();
    const puts = store.requests.put;
    expect(await world.run(journal.commit(() => ({ records: [], result: 'read' })))).toBe('read');
    expect(store.requests.put).toBe(puts);
  });

  test('limits: a decision larger than an entry, and more waiting decisions than allowed', async () => {
    const world = new JournalWorld();
    const { journal, store } = await world.open();
    const large = journal.commit((sequence) => lineDecision('x'.repeat(5 * 1024 * 1024), sequence));
    await expect(large).rejects.toBeInstanceOf(DecisionTooLargeError);

    store.unavailable = true;
    const waiting = Array.from({ length: 10_000 }, (_, n) => writeLine(journal, `${n}`));
    await expect(writeLine(journal, 'one too many')).rejects.toBeInstanceOf(JournalBusyError);
    store.unavailable = false;
    await world.run(Promise.all(waiting));
    expect((await world.linesAfterRestart()).length).toBe(10_000);
  });

  test('an entry is closed when it is full, so its size is bounded', async () => {
    const world = new JournalWorld();
    const { journal } = await world.open();
    const lines = Array.from({ length: 10 }, (_, n) => `${n}`.repeat(100 * 1024));
    const sequences = await world.run(Promise.all(lines.map((line) => writeLine(journal, line))));
    expect(new Set(sequences).size).toBe(4);
    expect(await world.linesAfterRestart()).toEqual(lines);
  });

  test('a snapshot shortens what the next start replays, and both give the same state', async () => {
    const world = new JournalWorld();
    const options = { snapshotEveryEntries: 10 };
    const { journal } = await world.open(options);
    const lines = Array.from({ length: 25 }, (_, n) => `line ${n}`);
    for (const line of lines) {
      await world.run(writeLine(journal, line));
      await world.env.clock.settle();
    }
    await world.run(journal.close());
    const reopened = await world.open();
    expect(reopened.image.lines).toEqual(lines);
    const opened = world.env.events.named('journal.opened').at(-1);
    expect(opened?.fields['replayedEntries']).toBeLessThan(10);
  });

  test('I20: another node that folds the log itself makes the same snapshot, byte for byte', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 4, maxLength: 20 }),
        async (groups) => {
          const world = new JournalWorld();
          const { journal } = await world.open({ snapshotEveryEntries: 3 });
          let line = 0;
          for (const size of groups) {
            // Two waves, so that the second is decided while the first is being appended.
            const wave = (): Promise<number>[] =>
              Array.from({ length: size }, () => writeLine(journal, `line ${line++}`));
            await world.run(Promise.all([...wave(), Promise.resolve().then(() => Promise.all(wave()))]));
          }
          await world.run(journal.close());

          const snapshots = [...world.bucket.objects.keys()].filter((key) => key.startsWith('meta/snap/'));
          expect(snapshots.length).toBeGreaterThan(0);
          for (const key of snapshots) expect(await snapshotKeyByReplay(world, key)).toBe(key);
        },
      ),
      { numRuns: 20 },
    );
  });

  test('after close every commit is refused, and close ends although the store is down', async () => {
    const world = new JournalWorld();
    const { journal, store } = await world.open();
    store.unavailable = true;
    const underWay = writeLine(journal, 'under way');
    await world.env.clock.advance(1);
    const queued = writeLine(journal, 'queued');
    const settled = Promise.allSettled([underWay, queued]);
    await world.run(journal.close());
    for (const result of await settled) {
      expect(result).toMatchObject({ status: 'rejected', reason: expect.any(JournalClosedError) });
    }
    await expect(writeLine(journal, 'late')).rejects.toBeInstanceOf(JournalClosedError);
  });
});

/** Replays entries 1 up to that of the snapshot in a bucket of their own, and names the snapshot of the outcome. */
async function snapshotKeyByReplay(world: JournalWorld, key: string): Promise<string> {
  const sequence = sequenceOf(key);
  const copy = new JournalWorld();
  for (const [name, object] of world.bucket.objects) {
    if (name.startsWith('meta/log/') && sequenceOf(name) <= sequence) copy.bucket.objects.set(name, object);
  }
  const floor = world.bucket.objects.get('meta/floor');
  const fields = decodeFloor(floor?.body ?? new Uint8Array(0));
  const atStart = encodeFloor({ ...fields, sequence: 0, snapshot: null, moves: [] });
  copy.bucket.objects.set('meta/floor', { body: atStart, etag: 'copied' });

  const log = await ConditionalLog.open(copy.env, copy.store(), { writer: 'other node' });
  const images = new Images([new LinesImage()]);
  await log.load({
    restore: (state) => images.read(state),
    clear: () => images.clear(),
    apply: (record, at) => images.apply(record, at),
    applied: () => undefined,
    restored: () => undefined,
  });
  const bytes = encodeSnapshot({ ...log.position(), state: images.write() });
  return snapshotKey(sequence, Buffer.from(sha256(bytes)).toString('hex'));
}
