import { describe, expect, test } from '@jest/globals';
import { DEVICE_BLOCK_BYTES } from '../../broker-runtime/src/ports/block-device.ts';
import { RING_START_BYTES } from '../../broker-runtime/src/wal/block/ring.ts';
import { StripeSpace } from '../../broker-runtime/src/wal/block/stripe-space.ts';
import { SimDisk } from '../simulation/world/sim-block-device.ts';
import { simEnv } from '../simulation/world/sim-env.ts';

const BLOCK = DEVICE_BLOCK_BYTES;
const RING_BYTES = 100 * BLOCK;
const MAX_GROUP_BYTES = 10 * BLOCK;
/** The newest group of the log before. */
const LAST_SEQUENCE = 40;

/** An empty log on devices that begin a lap each. */
function spaceOn(deviceCount: number): StripeSpace {
  const env = simEnv(1);
  const capacityBytes = RING_BYTES + RING_START_BYTES;
  const disks = Array.from(
    { length: deviceCount },
    (_, index) =>
      new SimDisk({ name: `disk-${index}`, capacityBytes, clock: env.clock, random: env.random.fork() }),
  );
  const devices = disks.map((disk) => disk.open());
  return new StripeSpace(
    devices,
    { ackedUpTo: LAST_SEQUENCE, startPositions: [0, RING_BYTES] },
    MAX_GROUP_BYTES,
  );
}

/** As the writer does: group after group, in turn over the devices. */
function write(
  space: StripeSpace,
  groups: readonly [sequence: number, device: number, bytes: number][],
): void {
  for (const [sequence, device, bytes] of groups) {
    const ring = space.members[device]?.ring;
    ring?.take(sequence, ring.placeFor(bytes), bytes);
  }
}

describe('the space of a stripe set', () => {
  test('is that of all rings, less two of the largest groups on each', () => {
    const space = spaceOn(2);
    expect(space.capacityBytes).toBe(2 * RING_BYTES);
    expect(space.usableBytes).toBe(2 * RING_BYTES - 4 * MAX_GROUP_BYTES);
    expect(space.hasRoom(space.usableBytes)).toBe(true);
    expect(space.hasRoom(space.usableBytes + 1)).toBe(false);
  });

  test('an empty log uses nothing, wherever it begins', () => {
    const space = spaceOn(2);
    expect(space.usedBytes).toBe(0);
    expect(space.trimmedSequence).toBe(LAST_SEQUENCE);
    expect(space.trimmedPositions).toEqual([0, RING_BYTES]);
    expect(space.isTrimUnsaved).toBe(false);
  });

  test('what is written counts on whichever device it is', () => {
    const space = spaceOn(2);
    write(space, [
      [41, 0, 3 * BLOCK],
      [42, 1, 5 * BLOCK],
    ]);
    expect(space.usedBytes).toBe(8 * BLOCK);
    expect(space.hasRoom(space.usableBytes - 8 * BLOCK)).toBe(true);
    expect(space.hasRoom(space.usableBytes - 8 * BLOCK + 1)).toBe(false);
  });

  test('a trim reaches all devices; it makes room only when superblocks say so (I28)', () => {
    const space = spaceOn(2);
    write(space, [
      [41, 0, 3 * BLOCK],
      [42, 1, 5 * BLOCK],
      [43, 0, 7 * BLOCK],
    ]);
    space.trim(42);
    expect(space.trimmedSequence).toBe(42);
    expect(space.trimmedPositions).toEqual([3 * BLOCK, RING_BYTES + 5 * BLOCK]);
    expect(space.usedBytes).toBe(7 * BLOCK);
    expect(space.isTrimUnsaved).toBe(true);
    expect(space.hasRoom(space.usableBytes - 7 * BLOCK)).toBe(false);

    space.free(space.trimmedPositions);
    expect(space.isTrimUnsaved).toBe(false);
    expect(space.hasRoom(space.usableBytes - 7 * BLOCK)).toBe(true);
  });

  test('superblocks of before the trim free what they name and no more', () => {
    const space = spaceOn(2);
    write(space, [
      [41, 0, 3 * BLOCK],
      [42, 1, 5 * BLOCK],
    ]);
    space.trim(41);
    const saved = space.trimmedPositions;
    space.trim(42);
    space.free(saved);
    expect(space.isTrimUnsaved).toBe(true);
    expect(space.hasRoom(space.usableBytes - 5 * BLOCK)).toBe(true);
    expect(space.hasRoom(space.usableBytes - 5 * BLOCK + 1)).toBe(false);
  });

  test('an older trim that comes late takes nothing back', () => {
    const space = spaceOn(1);
    write(space, [
      [41, 0, BLOCK],
      [42, 0, BLOCK],
    ]);
    space.trim(42);
    space.trim(41);
    expect(space.trimmedSequence).toBe(42);
    expect(space.usedBytes).toBe(0);
  });

  test('whoever finds room finds a place for the largest group, whatever the end of the lap takes', () => {
    const space = spaceOn(1);
    let sequence = LAST_SEQUENCE;
    // Five blocks are left of the lap: too few, so they are skipped.
    for (let block = 0; block < 95; block++) write(space, [[++sequence, 0, BLOCK]]);
    space.trim(sequence);
    space.free(space.trimmedPositions);
    let groups = 0;
    for (; space.hasRoom(MAX_GROUP_BYTES); groups++) write(space, [[++sequence, 0, MAX_GROUP_BYTES]]);
    expect(groups).toBe(7);
    expect(space.usedBytes).toBe(7 * MAX_GROUP_BYTES + 5 * BLOCK);
  });
});
