import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { DirectBlockDevice, deviceError } from '../../broker-runtime/src/adapters/direct-block-device.ts';
import { SystemClock, SystemRandom } from '../../broker-runtime/src/adapters/system-env.ts';
import type { Env } from '../../broker-runtime/src/ports/env.ts';
import { RecordingEvents } from '../simulation/world/sim-events.ts';
import { killChildren, startChild } from './child.ts';

const MIB = 1024 * 1024;
let folder: string;
let file: string;
let events: RecordingEvents;
let env: Env;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'millrace-direct-'));
  file = path.join(folder, 'wal');
  events = new RecordingEvents();
  env = { clock: new SystemClock(), random: new SystemRandom(), events };
});
afterEach(() => {
  killChildren();
  rmSync(folder, { recursive: true });
});

describe('DirectBlockDevice', () => {
  test('creates a file of written zeros, telling its progress, and opens it', async () => {
    const device = await DirectBlockDevice.open(env, file, { createBytes: 9 * MIB });
    expect(device.capacityBytes).toBe(9 * MIB);
    const { size, blocks } = statSync(file);
    expect(size).toBe(9 * MIB);
    expect(blocks * 512).toBeGreaterThanOrEqual(9 * MIB);
    expect(readFileSync(file).every((byte) => byte === 0)).toBe(true);
    const progress = events.named('block-device.preparing').map((event) => event.fields['bytes']);
    expect(progress).toEqual([4 * MIB, 8 * MIB, 9 * MIB]);
    expect(events.named('block-device.opened')).toMatchObject([{ fields: { capacityBytes: 9 * MIB } }]);
    await device.close();
  });

  test('keeps the size and content of a file that is there', async () => {
    writeFileSync(file, Buffer.alloc(8192, 7));
    const device = await DirectBlockDevice.open(env, file, { createBytes: 9 * MIB });
    expect(device.capacityBytes).toBe(8192);
    const into = device.allocate(8192);
    await device.read(0, into);
    expect(into.every((byte) => byte === 7)).toBe(true);
    await device.close();
  });

  test('a creation that was cut off begins anew and is never taken for a device', async () => {
    writeFileSync(`${file}.preparing`, Buffer.alloc(5000, 1));
    const device = await DirectBlockDevice.open(env, file, { createBytes: MIB });
    expect(readFileSync(file).every((byte) => byte === 0)).toBe(true);
    expect(existsSync(`${file}.preparing`)).toBe(false);
    await device.close();
  });

  test.each([
    ['a file that is missing', () => undefined, /name a device, or a size to create it/],
    ['an empty file', () => writeFileSync(file, ''), /has 0 bytes/],
    ['a file of broken blocks', () => writeFileSync(file, Buffer.alloc(5000)), /has 5000 bytes/],
    ['a folder', () => mkdirSync(file), /neither a block device nor a file/],
  ])('%s is UNSUITABLE, says why, and stays free', async (_what, prepare, message) => {
    prepare();
    for (let attempt = 0; attempt < 2; attempt++) {
      const opening = DirectBlockDevice.open(env, file);
      await expect(opening).rejects.toMatchObject({ code: 'UNSUITABLE' });
      await expect(opening).rejects.toThrow(message);
    }
  });

  test('a creation that cannot succeed is UNSUITABLE and leaves nothing', async () => {
    await expect(DirectBlockDevice.open(env, file, { createBytes: 1000 })).rejects.toThrow(/with 1000 bytes/);
    const nowhere = path.join(folder, 'no', 'folder');
    await expect(DirectBlockDevice.open(env, nowhere, { createBytes: MIB })).rejects.toMatchObject({
      code: 'UNSUITABLE',
    });
    expect(existsSync(file)).toBe(false);
  });

  test('is held against this and other processes, until the holder closes or is killed with -9', async () => {
    const device = await DirectBlockDevice.open(env, file, { createBytes: MIB });
    await expect(DirectBlockDevice.open(env, file)).rejects.toMatchObject({ code: 'BUSY' });
    await device.close();
    const holder = startChild('hold-device.ts', file);
    await holder.printed(1);
    await expect(DirectBlockDevice.open(env, file)).rejects.toMatchObject({ code: 'BUSY' });
    await holder.kill();
    await (await DirectBlockDevice.open(env, file)).close();
  });

  test('a device that shrank is an I/O error, not old memory', async () => {
    const device = await DirectBlockDevice.open(env, file, { createBytes: MIB });
    truncateSync(file, MIB / 2);
    await expect(device.read(MIB / 2, device.allocate(8192))).rejects.toMatchObject({ code: 'IO' });
    await device.close();
  });

  test('failure class: acknowledged-into-a-deleted-file: a write into a file without a name is an I/O error', async () => {
    const device = await DirectBlockDevice.open(env, file, { createBytes: MIB });
    const block = device.allocate(4096);
    await device.write(0, block);
    rmSync(file);
    await expect(device.write(0, block)).rejects.toThrow(/the file was deleted while it was in use/);
    await device.close();
  });

  test('close waits for the writes under way', async () => {
    const device = await DirectBlockDevice.open(env, file, { createBytes: MIB });
    const memory = device.allocate(MIB).fill(9);
    const landed: number[] = [];
    for (let at = 0; at < MIB; at += MIB / 8) {
      void device.write(at, memory.subarray(at, at + MIB / 8)).then(() => landed.push(at));
    }
    await device.close();
    expect(landed).toHaveLength(8);
    expect(readFileSync(file).every((byte) => byte === 9)).toBe(true);
  });

  test('EBADE is FENCED, every other error IO', () => {
    const ebade = Object.assign(new Error('Unknown system error -52'), { errno: -52 });
    expect(deviceError('write', ebade)).toMatchObject({ code: 'FENCED', cause: ebade });
    const eio = Object.assign(new Error('EIO'), { errno: -5 });
    expect(deviceError('write', eio)).toMatchObject({ code: 'IO', cause: eio });
  });
});
