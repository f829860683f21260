import { beforeEach, describe, expect, test } from '@jest/globals';
import {
  EntryTooLargeError,
  WalClosedError,
  type Wal,
  type WalGroup,
  type RecoveredGroup,
} from '../../broker-runtime/src/wal/wal.ts';
import type { SimEnv } from '../simulation/world/sim-env.ts';
import { appendOne, describeEntry, KIB, payload, type RecordingListener } from '../wal/block-wal-world.ts';

export interface OpenWal {
  readonly wal: Wal;
  readonly listener: RecordingListener;
  /** What the life before left. */
  readonly recovered: readonly RecoveredGroup[];
}

/** Groups of 16 KiB, entries of at most 24 KiB, slabs of 64 KiB, 512 KiB of memory unless a test says otherwise. */
export interface WalUnderTest {
  readonly env: SimEnv;
  /** Recovers what is there and opens under the next epoch. */
  open(options?: { readonly memoryBytes?: number }): Promise<OpenWal>;
  /** Writes of groups handed to the medium so far. */
  writes(): number;
  /** The next writes fail for good. */
  breakMedium(): void;
  /** Somebody else takes the log over: what is written from now on is not acknowledged. */
  fence(): Promise<void>;
}

const MEMORY_BYTES = 512 * KIB;
/** What an entry counts for, however small it is. */
const BYTES_PER_HELD_ENTRY = 512;

/** What `wal/wal.ts` promises, as tests that every kind of WAL passes. */
export function describeWal(name: string, start: () => WalUnderTest): void {
  describe(`${name} as a WAL`, () => {
    let subject: WalUnderTest;
    const run = <T>(work: Promise<T>): Promise<T> => subject.env.clock.run(work);
    beforeEach(() => {
      subject = start();
    });

    test('gives back after a restart what was appended, in order, byte for byte', async () => {
      const { wal } = await subject.open();
      const written = [];
      for (let offset = 0; offset < 40; offset++) {
        const bytes = payload(offset, 1 + ((offset * 977) % (9 * KIB)));
        const streamId = offset % 3;
        written.push({ streamId, baseOffset: offset, count: 1, maxTimestampMs: 1000 + offset, bytes });
        const group = await run(appendOne(wal, offset, bytes, streamId));
        if (offset % 7 === 0) await run(group.durable);
      }
      await run(wal.close());
      const { recovered } = await subject.open();
      const entries = recovered.flatMap((group) => group.entries);
      expect(entries.map(describeEntry)).toEqual(written.map(describeEntry));
      expect(recovered.map((group) => group.sequence)).toEqual(recovered.map((_, index) => index + 1));
    });

    test('entries of one turn share a write, and its one promise', async () => {
      const { wal } = await subject.open();
      const before = subject.writes();
      const groups = Array.from({ length: 100 }, (_, offset) => {
        expect(wal.admit(100, 1)).toBeUndefined();
        return wal.append(1, offset, 1, -1, payload(offset, 100));
      });
      expect(new Set(groups.map((group) => group.durable)).size).toBe(1);
      await run(Promise.all(groups.map((group) => group.durable)));
      expect(subject.writes() - before).toBe(1);
    });

    test('tells the listener of each group, in order, before its promise resolves', async () => {
      const { wal, listener } = await subject.open();
      const heard: string[] = [];
      listener.onDurableGroup = (group) => heard.push(`durable ${group.sequence}`);
      const groups = Array.from({ length: 6 }, (_, offset) => {
        const group = wal.append(1, offset, 1, -1, payload(offset, 12 * KIB));
        void group.durable.then(() => heard.push(`resolved ${group.sequence}`));
        return group;
      });
      await run(Promise.all(groups.map((group) => group.durable)));
      for (const { sequence } of groups) {
        expect(heard.indexOf(`durable ${sequence}`)).toBeLessThan(heard.indexOf(`resolved ${sequence}`));
      }
      expect(listener.durable).toEqual([1, 2, 3, 4, 5, 6]);
      await run(wal.close());
    });

    test('continues sequences after a restart and hands out nothing that was trimmed', async () => {
      const first = await subject.open();
      const a = await appendOne(first.wal, 0, payload(0, 100));
      await run(a.durable);
      const b = await appendOne(first.wal, 1, payload(1, 100));
      await run(b.durable);
      await run(first.wal.trim(a.sequence));
      await run(first.wal.close());
      const second = await subject.open();
      expect(second.recovered.map((group) => group.sequence)).toEqual([b.sequence]);
      const c = await appendOne(second.wal, 2, payload(2, 100));
      expect(c.sequence).toBe(b.sequence + 1);
      await run(second.wal.close());
    });

    test('refuses to trim what is not durable', async () => {
      const { wal } = await subject.open();
      const group = await appendOne(wal, 0, payload(0, 100));
      expect(() => wal.trim(group.sequence)).toThrow('I27');
      await run(group.durable);
      await run(wal.trim(group.sequence));
      expect(wal.usedBytes).toBe(0);
      await run(wal.close());
    });

    test('runs through its capacity many times while it is trimmed', async () => {
      const { wal, listener } = await subject.open();
      listener.onDurableGroup = (group) => {
        void wal.trim(group.sequence);
      };
      const appends = Math.ceil((3 * wal.capacityBytes) / (12 * KIB));
      for (let offset = 0; offset < appends; offset++) {
        await run(appendOne(wal, offset, payload(offset, 12 * KIB)));
      }
      await run(wal.close());
      expect(listener.durable).toEqual(listener.durable.map((_, index) => index + 1));
      expect(wal.usedBytes).toBe(0);
    });

    test('lets appends wait while it is full, in their order, until it is trimmed', async () => {
      const { wal, listener } = await subject.open();
      const order: number[] = [];
      let offset = 0;
      let waiting: Promise<void> | undefined;
      while ((waiting = wal.admit(12 * KIB, 1)) === undefined) {
        wal.append(1, offset, 1, -1, payload(offset, 12 * KIB));
        offset++;
        await subject.env.clock.advance(60);
      }
      const late = Array.from({ length: 3 }, async (_, index) => {
        await (index === 0 ? waiting : wal.admit(12 * KIB, 1));
        order.push(index);
        wal.append(1, offset + index, 1, -1, payload(index, 12 * KIB));
      });
      await subject.env.clock.advance(60_000);
      expect(order).toEqual([]);
      await run(wal.trim(listener.durable.at(-1) ?? 0));
      await run(Promise.all(late));
      expect(order).toEqual([0, 1, 2]);
      await run(wal.close());
    });

    test('lets appends wait while all memory is held and asks for it back', async () => {
      const { wal, listener } = await subject.open({ memoryBytes: 128 * KIB });
      const held: WalGroup[] = [];
      listener.onDurableGroup = (group) => {
        group.retain();
        held.push(group);
      };
      listener.onWanted = () => {
        for (const group of held.splice(0)) group.release();
      };
      for (let offset = 0; offset < 60; offset++) {
        await run(appendOne(wal, offset, payload(offset, 12 * KIB)));
        await subject.env.clock.advance(60);
        if (offset % 9 === 8) await run(wal.trim(listener.durable.at(-1) ?? 0));
      }
      expect(listener.memoryWanted.length).toBeGreaterThan(3);
      await run(wal.close());
    });

    test('bug: a flood of tiny entries filled the heap, not the memory; now they wait when they are too many', async () => {
      const { wal, listener } = await subject.open();
      const maxEntries = MEMORY_BYTES / BYTES_PER_HELD_ENTRY;
      const held: WalGroup[] = [];
      listener.onDurableGroup = (group) => {
        group.retain();
        held.push(group);
      };
      const tiny = payload(1, 100);
      let appended = 0;
      let waiting = wal.admit(tiny.length, 1);
      for (; waiting === undefined; waiting = wal.admit(tiny.length, 1)) {
        wal.append(1, appended++, 1, 0, tiny);
        if (appended % 100 === 0) await subject.env.clock.advance(60);
      }
      await subject.env.clock.advance(60);
      expect(appended).toBe(maxEntries);
      expect(listener.memoryWanted.length).toBeGreaterThan(0);
      expect(() => wal.admit(100, maxEntries + 1)).toThrow(EntryTooLargeError);

      held.shift()?.release();
      await run(waiting);
      wal.append(1, appended, 1, 0, tiny);
      await run(wal.close());
    });

    test('refuses what could never fit', async () => {
      const { wal } = await subject.open();
      expect(() => wal.admit(24 * KIB + 1, 1)).toThrow(EntryTooLargeError);
      expect(() => wal.admit(10_000 * KIB, 500)).toThrow(EntryTooLargeError);
      expect(wal.admit(24 * KIB, 1)).toBeUndefined();
      await run(wal.close());
    });

    test('acknowledges nothing after a failed write, and says so once', async () => {
      const { wal, listener } = await subject.open();
      await run((await appendOne(wal, 0, payload(0, 100))).durable);
      subject.breakMedium();
      const groups = Array.from({ length: 20 }, (_, offset) =>
        wal.append(1, offset, 1, -1, payload(offset, 12 * KIB)),
      );
      const outcomes = await run(Promise.allSettled(groups.map((group) => group.durable)));
      for (const outcome of outcomes) {
        expect(outcome.status === 'rejected' && outcome.reason instanceof WalClosedError).toBe(true);
      }
      await subject.env.clock.advance(10_000);
      expect(listener.durable).toEqual([1]);
      expect(listener.failures).toHaveLength(1);
      expect(() => wal.admit(1, 1)).toThrow(WalClosedError);
      expect(() => wal.append(1, 99, 1, -1, payload(0, 1))).toThrow(WalClosedError);
      await run(wal.close());
    });

    test('acknowledges nothing once it is fenced, although the write succeeds', async () => {
      const { wal, listener } = await subject.open();
      const first = await appendOne(wal, 0, payload(0, 100));
      await run(first.durable);
      await subject.fence();
      const before = subject.writes();
      const second = await appendOne(wal, 1, payload(1, 100));
      await expect(run(second.durable)).rejects.toThrow(WalClosedError);
      expect(subject.writes() - before).toBe(1);
      expect(listener.durable).toEqual([first.sequence]);
      expect(listener.failures).toHaveLength(1);
      await run(wal.close());
    });

    test('sends away those who wait when it is closed', async () => {
      const { wal } = await subject.open({ memoryBytes: 128 * KIB });
      let waiting: Promise<void> | undefined;
      while ((waiting = wal.admit(12 * KIB, 1)) === undefined) {
        wal.append(1, 0, 1, -1, payload(0, 12 * KIB)).retain();
      }
      const refused = expect(waiting).rejects.toThrow(WalClosedError);
      await run(wal.close());
      await refused;
      expect(() => wal.admit(1, 1)).toThrow(WalClosedError);
    });
  });
}
