import { describe, expect, test } from '@jest/globals';
import {
  BlockWal,
  formatBlockWal,
  recoverBlockWal,
  WalCorruptionError,
} from '../../broker-runtime/src/wal/block-wal.ts';
import { previousProcessExited } from '../../broker-runtime/src/wal/fence.ts';
import { WalMismatchError, WalOptionsError } from '../../broker-runtime/src/wal/wal.ts';
import { crc32c } from '../../broker-runtime/src/base/crc32c.ts';
import { SimDisk } from '../simulation/world/sim-block-device.ts';
import {
  appendOne,
  collect,
  KIB,
  OWNER,
  payload,
  RecordingListener,
  SMALL,
  WalWorld,
} from './block-wal-world.ts';

/** A log that was used and closed. */
async function usedLog(disks = 1): Promise<WalWorld> {
  const world = new WalWorld({ disks });
  const { wal } = await world.open();
  await world.env.clock.run((await appendOne(wal, 0, payload(0, 100))).durable);
  await world.env.clock.run(wal.close());
  return world;
}

function format(world: WalWorld, disks = world.disks, owner = OWNER): Promise<boolean> {
  const devices = disks.map((disk) => disk.open());
  return world.env.clock.run(
    formatBlockWal(devices, owner, world.env).finally(() =>
      Promise.all(devices.map((device) => device.close())),
    ),
  );
}

function recover(world: WalWorld, disks = world.disks, owner = OWNER): Promise<number> {
  const devices = disks.map((disk) => disk.open());
  return world.env.clock.run(
    recoverBlockWal(devices, owner, world.env, previousProcessExited(devices))
      .then(collect)
      .then((groups) => groups.length)
      .finally(() => Promise.all(devices.map((device) => device.close()))),
  );
}

describe('A device is taken for this log only if it says so', () => {
  test('not when it names another cluster or another node', async () => {
    const world = await usedLog();
    for (const owner of [
      { clusterId: 'another-cluster', nodeId: 7 },
      { clusterId: 'wal-test-cluster', nodeId: 8 },
    ]) {
      await expect(recover(world, world.disks, owner)).rejects.toThrow(WalMismatchError);
      await expect(format(world, world.disks, owner)).rejects.toThrow(
        `holds the log of node 7 of cluster wal-test-cluster, wanted is node ${owner.nodeId}`,
      );
    }
    expect(await recover(world)).toBe(1);
  });

  test('not when the set is incomplete, in another order, or mixed from two sets', async () => {
    const world = await usedLog(3);
    const [a, b, c] = world.disks;
    if (a === undefined || b === undefined || c === undefined) throw new Error('there are three');
    const { clock, random } = world.env;
    const foreign = new SimDisk({ capacityBytes: c.bytes.length, clock, random });
    foreign.bytes.set(c.bytes);
    for (const at of [0, 4 * KIB]) rewriteLogId(foreign, at);
    await expect(recover(world, [a, b])).rejects.toThrow(
      'is number 0 of a set of 3, it was given as number 0 of 2',
    );
    await expect(recover(world, [a, c, b])).rejects.toThrow(WalMismatchError);
    await expect(recover(world, [a, b, foreign])).rejects.toThrow('formatted apart');
    await expect(format(world, [a, b, foreign])).rejects.toThrow('formatted apart');
    expect(await recover(world)).toBe(1);
  });

  test('not when it was resized', async () => {
    const world = await usedLog();
    const larger = new SimDisk({
      capacityBytes: 1024 * KIB,
      clock: world.env.clock,
      random: world.env.random,
    });
    larger.bytes.set(world.disk.bytes);
    await expect(recover(world, [larger])).rejects.toThrow('has 1048576 bytes, its log was made for 532480');
  });

  test('not when a newer release wrote it', async () => {
    const world = await usedLog();
    for (const at of [0, 4 * KIB]) {
      new DataView(world.disk.bytes.buffer).setUint16(at + 4, 2);
      rewriteCrc(world.disk, at);
    }
    await expect(recover(world)).rejects.toThrow('format version 2');
  });

  test('a blank device is formatted, but never recovered, and never in place of a lost one', async () => {
    const world = new WalWorld();
    await expect(recover(world)).rejects.toThrow('is blank');
    await format(world);
    expect(await recover(world)).toBe(0);

    const stripe = await usedLog(2);
    stripe.disks[1]?.bytes.fill(0);
    await expect(format(stripe)).rejects.toThrow(
      'disk-1 is blank, but disk-0 of the same set holds a log of epoch 1',
    );
    await expect(recover(stripe)).rejects.toThrow(WalMismatchError);
  });

  test('formatting again changes nothing', async () => {
    const world = await usedLog();
    const before = world.disk.bytes.slice();
    await format(world);
    expect(Buffer.compare(before, world.disk.bytes)).toBe(0);
  });

  test('a format that a crash cut short is finished by the next one', async () => {
    const world = new WalWorld({ disks: 3 });
    for (let attempt = 0; attempt < 3; attempt++) {
      const [, second, third] = world.disks;
      if (second !== undefined) second.isHeld = attempt < 2;
      if (third !== undefined) third.isHeld = attempt === 0;
      void formatBlockWal(world.devices(), OWNER, world.env);
      await world.env.clock.advance(100);
      for (const disk of world.disks) disk.pending.clear();
      world.crash();
    }
    expect(await recover(world)).toBe(0);
  });

  test('without a readable superblock nothing is recovered and nothing is formatted', async () => {
    for (const damage of ['both rot', 'both wiped', 'file system'] as const) {
      const world = await usedLog();
      if (damage === 'both rot') for (const at of [100, 4 * KIB + 100]) world.disk.flipBit(at);
      if (damage === 'both wiped') world.disk.bytes.fill(0, 0, 8 * KIB);
      if (damage === 'file system') world.disk.bytes.set(payload(1, 12 * KIB));
      const before = world.disk.bytes.slice();
      await expect(recover(world)).rejects.toThrow(WalCorruptionError);
      await expect(format(world)).rejects.toThrow(WalCorruptionError);
      expect(Buffer.compare(before, world.disk.bytes)).toBe(0);
    }
  });

  test('one readable superblock is enough, and the loss of the other is reported', async () => {
    for (const at of [0, 4 * KIB]) {
      const world = await usedLog();
      world.disk.flipBit(at + 60);
      expect(await recover(world)).toBe(1);
      expect(world.env.events.named('wal.superblock.damaged')).toHaveLength(1);
    }
  });

  test('only a newer epoch opens it, and only after it was read to its end', async () => {
    const world = await usedLog();
    const attempt = async (nodeEpoch: number, isRead: boolean): Promise<BlockWal> => {
      const devices = world.devices();
      const recovery = await recoverBlockWal(devices, OWNER, world.env, previousProcessExited(devices));
      if (isRead) await collect(recovery);
      const options = { ...SMALL, nodeEpoch, mayAcknowledge: (): true => true };
      return BlockWal.open(recovery, options, world.env, new RecordingListener());
    };
    for (const [nodeEpoch, isRead, message] of [
      [1, true, 'node epoch 1 is not above 1'],
      [0, true, 'node epoch 0 is not above 1'],
      [2, false, 'I28'],
    ] as const) {
      await expect(world.env.clock.run(attempt(nodeEpoch, isRead))).rejects.toThrow(message);
      world.crash();
    }
    const wal = await world.env.clock.run(attempt(2, true));
    await world.env.clock.run(wal.close());
  });

  test('all sizes that do not fit together are named at once', async () => {
    const world = await usedLog();
    const devices = world.devices();
    const recovery = await world.env.clock.run(
      recoverBlockWal(devices, OWNER, world.env, previousProcessExited(devices)),
    );
    await world.env.clock.run(collect(recovery));
    const options = {
      nodeEpoch: 2,
      mayAcknowledge: (): true => true,
      writesInFlight: 0,
      slabBytes: 5000,
      memoryBytes: 5000,
    };
    const opened = world.env.clock.run(BlockWal.open(recovery, options, world.env, new RecordingListener()));
    await expect(opened).rejects.toThrow(WalOptionsError);
    await expect(opened).rejects.toThrow(
      /slabBytes is 5000, no multiple.*memoryBytes.*writesInFlight is 0.*ring/,
    );
    await expect(formatBlockWal([], OWNER, world.env)).rejects.toThrow(WalOptionsError);
  });
});

function rewriteLogId(disk: SimDisk, at: number): void {
  disk.bytes.set(payload(5, 8), at + 16);
  rewriteCrc(disk, at);
}

function rewriteCrc(disk: SimDisk, at: number): void {
  new DataView(disk.bytes.buffer).setUint32(at + 508, crc32c(disk.bytes.subarray(at, at + 508)));
}
