import { DirectBlockDevice } from '../broker-runtime/src/adapters/direct-block-device.ts';
import type { Env } from '../broker-runtime/src/ports/env.ts';

export interface BareWrites {
  readonly file: string;
  readonly fileBytes: number;
  readonly writeBytes: number;
  readonly depth: number;
  readonly runMs: number;
  /** Written from in turn, as a WAL does: what was written lately is still read from. */
  readonly memoryBytes: number;
}

/**
 * What Node can do at best: the same direct writes with nothing around them. Both differ from fio, whose threads write
 * one buffer each again and again: a write of Node goes to a thread and back to the loop, and memory that was not touched
 * for a while is not in the processor's cache. @returns bytes per second
 */
export async function bareWrites(env: Env, of: BareWrites): Promise<number> {
  const { writeBytes, fileBytes, runMs } = of;
  const device = await DirectBlockDevice.open(env, of.file);
  try {
    const count = Math.max(of.depth, Math.floor(of.memoryBytes / writeBytes));
    const memory = device.allocate(count * writeBytes).fill(1);
    let writes = 0;
    const startMs = performance.now();
    const writer = async (): Promise<void> => {
      while (performance.now() - startMs < runMs) {
        const n = writes++;
        const at = (n % count) * writeBytes;
        await device.write((n * writeBytes) % fileBytes, memory.subarray(at, at + writeBytes));
      }
    };
    await Promise.all(Array.from({ length: of.depth }, writer));
    return (writes * writeBytes * 1000) / (performance.now() - startMs);
  } finally {
    await device.close();
  }
}
