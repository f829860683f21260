import { mkdirSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { SharedFileVolume } from '../../broker-runtime/src/adapters/shared-file-volume.ts';
import { systemEnv } from '../../broker-runtime/src/adapters/system-env.ts';
import { sharedVolumes } from '../../broker-runtime/src/broker/shared-volumes.ts';
import type { WalVolumes } from '../../broker-runtime/src/broker/wal-volume.ts';
import type { RegisteredBroker } from '../../broker-runtime/src/metadata/cluster-metadata.ts';
import { type BlockDevice, DEVICE_BLOCK_BYTES } from '../../broker-runtime/src/ports/block-device.ts';
import { TempDir } from '../harness/temp-dir.ts';

const VOLUME_BYTES = 16 * DEVICE_BLOCK_BYTES;
const env = systemEnv({ minLevel: 'error', write: () => undefined });

describe('files that play the shared volumes of a zone', () => {
  let dir: TempDir;
  const open: WalVolumes[] = [];

  beforeEach(() => {
    dir = new TempDir();
    for (const node of ['node-1', 'node-2']) mkdirSync(dir.join(node));
  });
  afterEach(() => {
    for (const volumes of open.splice(0)) volumes.close();
    dir.remove();
  });

  /** As one process of the zone has them. */
  const attached = (): WalVolumes => {
    const files = [1, 2].map((id): [number, SharedFileVolume] => [
      id,
      new SharedFileVolume(env, dir.join(`node-${id}`, 'wal'), VOLUME_BYTES),
    ]);
    const volumes = sharedVolumes(env, new Map(files));
    open.push(volumes);
    return volumes;
  };
  const self = (nodeId: number, nodeEpoch: number) => ({ nodeId, nodeEpoch });
  const life = (nodeEpoch: number, logNeeded: boolean) => ({
    nodeEpoch,
    state: 'active' as const,
    logNeeded,
  });
  const fenced = (nodeId: number, nodeEpoch: number, logNeeded: boolean): RegisteredBroker => ({
    nodeId,
    nodeEpoch,
    logNeeded,
    incarnationId: 'i',
    walKind: 'block-shared',
    zone: 'zone-a',
    state: 'fenced',
    previous: undefined,
  });
  const blockOf = (device: BlockDevice, value: number) => {
    const block = device.allocate(DEVICE_BLOCK_BYTES);
    block.fill(value);
    return block;
  };
  /** A life that wrote `value` into its log. */
  async function begin(volumes: WalVolumes, nodeId: number, nodeEpoch: number, value: number) {
    await volumes.openLast(self(nodeId, nodeEpoch), null);
    const fresh = await volumes.openNew(self(nodeId, nodeEpoch), async ([device]) => {
      if (device !== undefined) await device.write(0, blockOf(device, value));
    });
    const device = fresh?.devices[0];
    if (device === undefined) throw new Error('no device');
    return device;
  }
  async function firstByte(log: Awaited<ReturnType<WalVolumes['takeOver']>>) {
    const device = log?.devices[0];
    if (device === undefined) return undefined;
    const block = device.allocate(DEVICE_BLOCK_BYTES);
    await device.read(0, block);
    await device.close();
    return block[0];
  }

  test('the first life of a node finds nothing, and writes a log that the next one reads', async () => {
    const first = attached();
    expect(await first.openLast(self(1, 5), null)).toBeUndefined();
    const device = await begin(first, 1, 5, 7);
    await device.close();
    const second = attached();
    expect(await firstByte(await second.openLast(self(1, 9), life(5, true)))).toBe(7);
  });

  test('failure class: a life that died before it served leaves no log that anybody waits for', async () => {
    await attached().openLast(self(1, 5), null);
    // It was killed here, before it made its file: its neighbour, and its next life, find nothing and go on.
    expect(await attached().takeOver(fenced(1, 5, false), self(2, 6))).toBeUndefined();
    expect(await attached().openLast(self(1, 9), life(5, false))).toBeUndefined();
  });

  test('a log that is needed and not there is an error, never an empty log', async () => {
    await expect(attached().takeOver(fenced(1, 5, true), self(2, 6))).rejects.toMatchObject({
      code: 'VOLUME_MISSING',
    });
  });

  test('after a takeover the owner cannot write, and hears of it', async () => {
    const owner = attached();
    const device = await begin(owner, 1, 5, 7);
    expect(await firstByte(await attached().takeOver(fenced(1, 5, true), self(2, 6)))).toBe(7);
    await expect(device.write(0, blockOf(device, 8))).rejects.toMatchObject({ code: 'FENCED' });
    await device.close();
  });

  test('a recoverer that slept does not displace the next life of the node', async () => {
    const late = attached();
    await (await begin(attached(), 1, 5, 7)).close();
    await attached()
      .takeOver(fenced(1, 5, true), self(2, 6))
      .then(firstByte);
    const next = attached();
    const device = await begin(next, 1, 9, 8);
    await expect(late.takeOver(fenced(1, 5, true), self(2, 6))).rejects.toMatchObject({ code: 'FENCED' });
    await device.write(0, blockOf(device, 9));
    await device.close();
  });

  test('an older life of the same node does not displace a newer one', async () => {
    const older = attached();
    const device = await begin(attached(), 1, 9, 8);
    await expect(older.openLast(self(1, 5), null)).rejects.toMatchObject({ code: 'FENCED' });
    await device.close();
  });

  test('a crash while a fresh log is made leaves the old one', async () => {
    await (await begin(attached(), 1, 5, 7)).close();
    const dying = attached();
    await (await dying.openLast(self(1, 9), life(5, true)))?.devices[0]?.close();
    await expect(dying.openNew(self(1, 9), () => Promise.reject(new Error('killed')))).rejects.toThrow(
      'killed',
    );
    expect(await firstByte(await attached().openLast(self(1, 10), life(9, true)))).toBe(7);
  });
});
