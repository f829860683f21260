import { describe, expect, test } from '@jest/globals';
import { GroupMemory } from '../../broker-runtime/src/wal/groups/group-memory.ts';
import type { MemorySettings } from '../../broker-runtime/src/wal/groups/memory-settings.ts';
import { EntryTooLargeError } from '../../broker-runtime/src/wal/wal.ts';
import { simEnv } from '../simulation/world/sim-env.ts';

const KIB = 1024;
const SETTINGS: MemorySettings = {
  groupBytes: 8 * KIB,
  maxEntryBytes: 12 * KIB,
  maxGroupBytes: 16 * KIB,
  slabBytes: 16 * KIB,
  slabCount: 3,
  maxEntries: 8,
};
const HEAD_BYTES = 100;
/** An entry of so many bytes takes half a slab. */
const HALF_SLAB = 7 * KIB;

interface World {
  readonly memory: GroupMemory;
  /** Who was asked for room or memory, in order. */
  readonly asked: (number | 'room')[];
  mediumBytes: number;
  /** Appends without asking, as whoever was admitted does. */
  append(bytes: number): ReturnType<GroupMemory['queue']['append']>;
}

function worldWith(settings: Partial<MemorySettings> = {}): World {
  const asked: World['asked'] = [];
  const world: World = {
    memory: new GroupMemory({
      settings: { ...SETTINGS, ...settings },
      clock: simEnv(1).clock,
      allocate: (bytes) => new Uint8Array(bytes),
      headBytes: HEAD_BYTES,
      firstSequence: 5,
      capacityBytes: 40 * KIB,
      hasRoom: (bytes) => bytes <= world.mediumBytes,
      onRoomWanted: () => asked.push('room'),
      onMemoryWanted: (bytes) => asked.push(bytes),
    }),
    asked,
    mediumBytes: 1024 * KIB,
    append: (bytes) => world.memory.queue.append(1, 0, 1, -1, new Uint8Array(bytes)),
  };
  return world;
}

/** Whether whoever waits was let in, without waiting for that. */
async function isOpen(waiting: Promise<void> | undefined): Promise<boolean> {
  let isIn = false;
  void waiting?.then(() => (isIn = true));
  await new Promise((next) => setImmediate(next));
  return isIn;
}

describe('the memory of groups', () => {
  test('lets in at once while there is memory and room, and asks nobody for anything', () => {
    const world = worldWith();
    expect(world.memory.admit(HALF_SLAB, 1)).toBeUndefined();
    expect(world.append(HALF_SLAB).sequence).toBe(5);
    world.memory.askForRoom();
    expect(world.asked).toEqual([]);
    expect(world.memory.waitingBytes).toBe(0);
  });

  test('asks for memory when it is all held, one slab more than needed, and lets in when a group is let go', async () => {
    const world = worldWith();
    const held = Array.from({ length: 6 }, () => world.append(HALF_SLAB));
    const waiting = world.memory.admit(HALF_SLAB, 1);
    expect(world.asked).toEqual([2 * SETTINGS.slabBytes]);
    expect(world.memory.waitingBytes).toBe(8 * KIB);
    expect(await isOpen(waiting)).toBe(false);
    for (const group of held.slice(0, 2)) group.release();
    expect(await isOpen(waiting)).toBe(true);
    expect(world.memory.waitingBytes).toBe(0);
  });

  test('asks for all memory when too many entries are held: nobody knows how many bytes have so many', () => {
    const world = worldWith({ maxEntries: 2 });
    world.append(1);
    world.append(1);
    void world.memory.admit(1, 1);
    expect(world.asked).toEqual([SETTINGS.slabCount * SETTINGS.slabBytes]);
  });

  test('asks for room when only the medium is full, counts what is in the queue, and lets in when it has more', async () => {
    const world = worldWith();
    world.mediumBytes = 12 * KIB;
    expect(world.memory.admit(HALF_SLAB, 1)).toBeUndefined();
    world.append(HALF_SLAB);
    const waiting = world.memory.admit(HALF_SLAB, 1);
    expect(world.asked).toEqual(['room']);
    world.memory.admitWaiting();
    expect(await isOpen(waiting)).toBe(false);
    world.mediumBytes = 16 * KIB;
    world.memory.admitWaiting();
    expect(await isOpen(waiting)).toBe(true);
  });

  test('whoever waits learns of the end', async () => {
    const world = worldWith();
    world.mediumBytes = 0;
    const waiting = world.memory.admit(1, 1);
    world.memory.rejectAll(new Error('closed'));
    await expect(waiting).rejects.toThrow('closed');
  });

  test.each([
    ['an entry above its limit', SETTINGS.maxEntryBytes + 1, 1, 3],
    ['more entries than may be held', 9, SETTINGS.maxEntries + 1, 3],
    ['more than all slabs', 18 * KIB, 4, 3],
    ['more than the medium has', 39 * KIB, 4, 9],
  ])('never waits for what can never fit: %s', (_what, payloadBytes, entryCount, slabCount) => {
    const { memory } = worldWith({ slabCount });
    expect(() => memory.admit(payloadBytes, entryCount)).toThrow(EntryTooLargeError);
  });

  test('what just fits is not refused', () => {
    expect(worldWith().memory.admit(SETTINGS.maxEntryBytes, 1)).toBeUndefined();
    expect(worldWith({ slabCount: 9 }).memory.admit(18 * KIB, 4)).toBeUndefined();
  });
});
