import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { decodeEntry, encodeEntry, sha256 } from '../../broker-runtime/src/wal/conditional/entry.ts';
import { sequenceOf } from '../../broker-runtime/src/wal/conditional/keys.ts';
import type { ConditionalJournal } from '../../broker-runtime/src/wal/conditional-journal.ts';
import { SupersededError } from '../../broker-runtime/src/wal/conditional-log.ts';
import { JournalClosedError } from '../../broker-runtime/src/wal/journal.ts';
import type { StoreFault } from '../simulation/world/memory-object-store.ts';
import { JournalWorld, writeLine } from './journal-world.ts';

describe('an append whose answer is not sure', () => {
  test('P1, M1: the answer is lost, the repeat is rejected by our own entry: appended once', async () => {
    const world = new JournalWorld();
    const { journal, store } = await world.open();
    store.failNext('put', { kind: 'lose-answer' });
    await world.run(writeLine(journal, 'once'));
    await world.run(writeLine(journal, 'next'));
    expect(await world.linesAfterRestart()).toEqual(['once', 'next']);
  });

  test('409 means nothing landed: the same slot is tried again (P2)', async () => {
    const world = new JournalWorld();
    const { journal, store } = await world.open();
    const before = journal.committedSequence;
    store.failNext('put', { kind: 'conflict' }, 3);
    expect(await world.run(writeLine(journal, 'line'))).toBe(before + 1);
    expect(await world.linesAfterRestart()).toEqual(['line']);
  });

  test.each([10, 60_000])('lands %i ms after we gave up on it: appended once', async (afterMs) => {
    const world = new JournalWorld();
    const { journal, store } = await world.open();
    store.failNext('put', { kind: 'land-late', afterMs });
    await world.run(writeLine(journal, 'once'));
    await world.env.clock.advance(120_000);
    await world.run(writeLine(journal, 'next'));
    expect(await world.linesAfterRestart()).toEqual(['once', 'next']);
  });

  test('M3: is only ever repeated; that the slot looks free proves nothing', async () => {
    const world = new JournalWorld();
    const { journal, store } = await world.open();
    store.failNext('put', { kind: 'fail' }, 5);
    const { get, head, list } = store.requests;
    await world.run(writeLine(journal, 'line'));
    expect([store.requests.get, store.requests.head, store.requests.list]).toEqual([get, head, list]);
  });

  test('M3: lands after its process is gone: the next one replays it, and appends behind it', async () => {
    const world = new JournalWorld();
    const { journal, store } = await world.open();
    const lateMs = 8_000;
    store.faults = (operation) => (operation === 'put' ? { kind: 'land-late', afterMs: lateMs } : undefined);
    const unsure = writeLine(journal, 'unsure').catch((error: unknown) => error);
    await world.env.clock.advance(1);
    await world.run(journal.close());
    expect(await unsure).toBeInstanceOf(JournalClosedError);
    await world.env.clock.advance(lateMs);
    const next = await world.open();
    expect(next.image.lines).toEqual(['unsure']);
    await world.run(writeLine(next.journal, 'after'));
    expect(await world.linesAfterRestart()).toEqual(['unsure', 'after']);
  });
});

describe('while the store is down', () => {
  test('the journal waits, says so, repeats at a bounded pace, and goes on by itself', async () => {
    const world = new JournalWorld();
    const { journal, store } = await world.open();
    store.unavailable = true;
    const writing = writeLine(journal, 'patient');
    await world.env.clock.advance(3_600_000);
    expect(journal.trouble).toMatch(
      /^waiting for the object store since \d{4} s: put meta\/log\/0*2: simulated/,
    );
    expect(store.requests.put).toBeLessThan(3_600 * 1.2);
    expect(world.env.events.named('journal.waiting-for-store').length).toBeLessThanOrEqual(61);
    store.unavailable = false;
    await world.run(writing);
    expect(journal.trouble).toBeUndefined();
    expect(await world.linesAfterRestart()).toEqual(['patient']);
  });

  test('opening waits as well', async () => {
    const world = new JournalWorld();
    const store = world.store();
    store.unavailable = true;
    world.env.clock.timer(30_000, () => (store.unavailable = false));
    const { journal } = await world.open({}, store);
    expect(journal.committedSequence).toBe(1);
  });

  test('a denied request is a misconfiguration: the journal stops and tells why', async () => {
    const world = new JournalWorld();
    const { journal, store, failures } = await world.open();
    store.failNext('put', { kind: 'denied' });
    await expect(world.run(writeLine(journal, 'line'))).rejects.toThrow(/not allowed/);
    expect(failures).toHaveLength(1);
    await expect(writeLine(journal, 'later')).rejects.toBeInstanceOf(JournalClosedError);
    expect(journal.trouble).toContain('not allowed');
  });
});

describe('two writers', () => {
  test('the one that opened later has the log; the other learns it with its next append and stops', async () => {
    const world = new JournalWorld();
    const old = await world.open();
    await world.run(writeLine(old.journal, 'old'));
    const young = await world.open();
    await expect(world.run(writeLine(old.journal, 'too late'))).rejects.toThrow(
      /another process writes this cluster/,
    );
    expect(old.failures).toHaveLength(1);
    expect(old.failures[0]).toBeInstanceOf(JournalClosedError);
    await world.run(writeLine(young.journal, 'young'));
    expect(await world.linesAfterRestart()).toEqual(['old', 'young']);
  });

  test('a slot has one winner, whichever of two simultaneous appends it is', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const world = new JournalWorld(seed);
      const old = await world.open();
      const youngStore = world.store();
      for (const store of [old.store, youngStore]) store.delayMs = () => world.env.random.below(50);
      const opening = world.open({}, youngStore);
      const writing = writeLine(old.journal, 'old').then(
        () => 'committed',
        () => 'refused',
      );
      const young = await opening;
      const outcome = await world.run(writing);
      expect(young.image.lines).toEqual(outcome === 'committed' ? ['old'] : []);
      await world.run(young.journal.close());
    }
  });

  test('P8: a taker that loses every slot gives up with an error instead of trying for ever', async () => {
    const world = new JournalWorld();
    await world.open();
    const store = world.store();
    let taken = 0;
    store.faults = (operation, key) => {
      if (operation === 'put' && key.startsWith('meta/log/') && !world.bucket.objects.has(key)) {
        occupy(world, key);
        taken++;
      }
      return undefined;
    };
    await expect(world.open({}, store)).rejects.toBeInstanceOf(SupersededError);
    expect(taken).toBe(8);
  });

  test('I21: answered is in the log exactly once, unknown at most once, refused never, in any run of faults', async () => {
    const faults = fc.constantFrom<StoreFault | undefined>(
      undefined,
      undefined,
      { kind: 'fail' },
      { kind: 'lose-answer' },
      { kind: 'conflict' },
      { kind: 'land-late', afterMs: 40 },
      { kind: 'land-late', afterMs: 4_000 },
    );
    const steps = fc.array(fc.record({ writer: fc.nat(1), fault: faults, waitMs: fc.nat(60) }), {
      maxLength: 25,
    });
    await fc.assert(
      fc.asyncProperty(steps, fc.nat(20), async (plan, takeoverAt) => {
        const world = new JournalWorld();
        const first = await world.open({ snapshotEveryEntries: 4 });
        let second = first;
        const answered: string[] = [];
        const writerOf = new Map<string, ConditionalJournal>();
        const all: Promise<unknown>[] = [];
        for (const [n, { writer, fault, waitMs }] of plan.entries()) {
          if (n === takeoverAt) second = await world.open({ snapshotEveryEntries: 4 });
          const { journal, store } = writer === 0 ? first : second;
          if (fault !== undefined) store.failNext('put', fault);
          const line = `line ${n}`;
          writerOf.set(line, journal);
          all.push(
            writeLine(journal, line).then(
              () => answered.push(line),
              () => undefined,
            ),
          );
          await world.env.clock.advance(waitMs);
        }
        await world.run(Promise.all(all));
        await world.env.clock.advance(10_000);
        const lines = await world.linesAfterRestart();
        expect(new Set(lines).size).toBe(lines.length);
        for (const line of answered) expect(lines).toContain(line);
        // Of one writer, in its order; two writers at a time have no order between them.
        for (const { journal } of new Set([first, second])) {
          const own = answered.filter((line) => writerOf.get(line) === journal);
          expect(lines.filter((line) => own.includes(line))).toEqual(own);
        }
      }),
      { numRuns: 60 },
    );
  });
});

/** Another process appends a valid entry of a higher epoch at this slot. */
function occupy(world: JournalWorld, key: string): void {
  const lastKey = world.logKeys().at(-1) ?? '';
  const last = world.bucket.objects.get(lastKey)?.body ?? new Uint8Array(0);
  const body = encodeEntry({
    sequence: sequenceOf(key),
    writerEpoch: decodeEntry(last, lastKey).writerEpoch + 1,
    nonce: world.env.random.bytes(16),
    prevHash: sha256(last),
    records: [],
  });
  world.bucket.objects.set(key, { body: body.slice(), etag: key });
}
