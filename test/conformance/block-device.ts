import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { DEVICE_BLOCK_BYTES } from '../../broker-runtime/src/ports/block-device.ts';
import type { BlockDevice } from '../../broker-runtime/src/ports/block-device.ts';

export interface BlockDeviceUnderTest {
  /** At least 64 blocks. */
  readonly device: BlockDevice;
  /** Lets a simulated world go on until the promise settles; the real one needs nothing. */
  settle<T>(work: Promise<T>): Promise<T>;
  /** Opens the same device again, after it was closed. */
  reopen(): Promise<BlockDevice>;
  /** After the device was closed. */
  stop(): Promise<void>;
}

const BLOCK = DEVICE_BLOCK_BYTES;

/** What `ports/block-device.ts` promises, as tests that every adapter passes. */
export function describeBlockDevice(name: string, start: () => Promise<BlockDeviceUnderTest>): void {
  describe(`${name} as a block device`, () => {
    let subject: BlockDeviceUnderTest;
    let device: BlockDevice;
    const write = (position: number, bytes: Uint8Array): Promise<void> =>
      subject.settle(device.write(position, bytes));
    const read = async (position: number, blocks: number): Promise<Uint8Array> => {
      const into = device.allocate(blocks * BLOCK);
      await subject.settle(device.read(position, into));
      return into;
    };

    /** A defect of the caller: how it is told is the adapter's, that it is told is the contract. */
    const refused = async (work: () => Promise<void>): Promise<void> => {
      await expect((async () => subject.settle(work()))()).rejects.toThrow();
    };

    beforeAll(async () => {
      subject = await start();
      device = subject.device;
    }, 60_000);
    afterAll(async () => {
      await device.close();
      await subject.stop();
    });

    test('has a capacity of whole blocks, and a name', () => {
      expect(device.capacityBytes % BLOCK).toBe(0);
      expect(device.capacityBytes).toBeGreaterThanOrEqual(64 * BLOCK);
      expect(device.name).not.toBe('');
    });

    test('gives zero-filled memory of any number of blocks', () => {
      for (const blocks of [1, 3, 16, 17, 256]) {
        const memory = device.allocate(blocks * BLOCK);
        expect(memory).toHaveLength(blocks * BLOCK);
        expect(memory.every((byte) => byte === 0)).toBe(true);
        expect(memory.byteOffset % BLOCK).toBe(0);
      }
    });

    test('reads what was written, at the first block, the last one, and in parts of a slab', async () => {
      const slab = device.allocate(8 * BLOCK);
      slab.forEach((_, at) => (slab[at] = (at * 7 + (at >> 12)) & 255));
      for (const position of [0, 5 * BLOCK, device.capacityBytes - 3 * BLOCK]) {
        const part = slab.subarray(2 * BLOCK, 5 * BLOCK);
        await write(position, part);
        expect(Buffer.compare(await read(position, 3), part)).toBe(0);
      }
    });

    test('keeps what was written over close and open', async () => {
      const memory = device.allocate(2 * BLOCK).fill(0xab);
      await write(7 * BLOCK, memory);
      await device.close();
      await device.close();
      device = await subject.reopen();
      expect(Buffer.compare(await read(7 * BLOCK, 2), memory)).toBe(0);
    });

    test('any writes at once, where they do not touch each other, all land', async () => {
      const blocks = fc.uniqueArray(fc.nat(31), { minLength: 1, maxLength: 16 });
      await fc.assert(
        fc.asyncProperty(blocks, fc.integer({ min: 1, max: 255 }), async (places, value) => {
          const slab = device.allocate(32 * BLOCK);
          await subject.settle(
            Promise.all(
              places.map((place) => {
                const bytes = slab.subarray(place * BLOCK, (place + 1) * BLOCK).fill((value + place) & 255);
                return device.write(place * BLOCK, bytes);
              }),
            ),
          );
          const stored = await read(0, 32);
          for (const place of places) {
            const block = stored.subarray(place * BLOCK, (place + 1) * BLOCK);
            expect(block.every((byte) => byte === ((value + place) & 255))).toBe(true);
          }
        }),
        { numRuns: 15 },
      );
    });

    test('refuses what is not whole blocks within the device', async () => {
      const memory = device.allocate(2 * BLOCK);
      const end = device.capacityBytes;
      for (const position of [-BLOCK, 1, 512, BLOCK / 2, end, end - BLOCK, 0.5, NaN]) {
        await refused(() => device.write(position, memory));
        await refused(() => device.read(position, memory));
      }
      await refused(() => device.write(0, memory.subarray(0, 512)));
    });

    test('is of no use once closed', async () => {
      const memory = device.allocate(BLOCK);
      await device.close();
      await refused(() => device.write(0, memory));
      await refused(() => device.read(0, memory));
      device = await subject.reopen();
    });
  });
}
