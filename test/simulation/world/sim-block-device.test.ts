import { describe, expect, test } from '@jest/globals';
import { SimDisk } from './sim-block-device.ts';
import { simEnv } from './sim-env.ts';

const SECTORS = 16;
const WRITE_BYTES = SECTORS * 512;

function disk(seed: number): { disk: SimDisk; env: ReturnType<typeof simEnv> } {
  const env = simEnv(seed);
  return { env, disk: new SimDisk({ capacityBytes: 64 * 1024, clock: env.clock, random: env.random }) };
}

describe('A simulated disk', () => {
  test('leaves of a write that a crash cut short none, all, or any of its sectors', () => {
    const seen = new Set<number>();
    let isOutOfOrder = false;
    for (let seed = 0; seed < 200; seed++) {
      const { disk: one } = disk(seed);
      const device = one.open();
      void device.write(0, device.allocate(WRITE_BYTES).fill(1));
      one.crash();
      const landed = Array.from({ length: SECTORS }, (_, sector) => one.bytes[sector * 512] === 1);
      seen.add(landed.filter(Boolean).length);
      isOutOfOrder ||= !landed[0] && landed.lastIndexOf(true) > 0;
      for (const [sector, hasLanded] of landed.entries()) {
        const bytes = one.bytes.subarray(sector * 512, (sector + 1) * 512);
        expect(bytes.every((byte) => byte === (hasLanded ? 1 : 0))).toBe(true);
      }
    }
    expect(seen.has(0) && seen.has(SECTORS) && seen.size > 6).toBe(true);
    expect(isOutOfOrder).toBe(true);
  });

  test('finishes writes out of order, and keeps what it reported', async () => {
    const { disk: one, env } = disk(5);
    const device = one.open();
    const order: number[] = [];
    const writes = Array.from({ length: 8 }, (_, index) =>
      device.write(index * 4096, device.allocate(4096).fill(index + 1)).then(() => order.push(index)),
    );
    await env.clock.run(Promise.all(writes));
    expect(order).not.toEqual([...order].sort((a, b) => a - b));
    one.crash();
    for (let index = 0; index < 8; index++) expect(one.bytes[index * 4096 + 4095]).toBe(index + 1);
  });

  test('notices memory that changes before the write is finished', async () => {
    const { disk: one, env } = disk(6);
    const device = one.open();
    const memory = device.allocate(4096);
    const write = device.write(0, memory);
    memory[17] = 1;
    await expect(env.clock.run(write)).rejects.toThrow('changed while it was under way');
  });

  test('tells nothing to a process that died, and has one opener at a time', async () => {
    const { disk: one, env } = disk(7);
    const device = one.open();
    expect(() => one.open()).toThrow('open already');
    let settled = 0;
    const count = (): void => {
      settled++;
    };
    device.write(0, device.allocate(4096)).then(count, count);
    one.crash();
    device.read(0, device.allocate(4096)).then(count, count);
    await env.clock.advance(1000);
    expect(settled).toBe(0);
    await one.open().close();
    await one.open().close();
  });
});
