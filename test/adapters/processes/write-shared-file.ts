/**
 * Claims a shared file and writes its first block for ever, each time with the next number; prints each number when
 * it may be acknowledged, and the code of the error that ends it. Usage: write-shared-file.ts <file> <key> <bytes>
 */
import { FileReservation } from '../../../broker-runtime/src/adapters/file-reservation.ts';
import { openSharedFile } from '../../../broker-runtime/src/adapters/shared-file.ts';
import { systemEnv } from '../../../broker-runtime/src/adapters/system-env.ts';
import { BlockDeviceError, DEVICE_BLOCK_BYTES } from '../../../broker-runtime/src/ports/block-device.ts';
import { takeVolume } from '../../../broker-runtime/src/wal/fence.ts';

const [file = '', key = '', bytes = ''] = process.argv.slice(2);
const env = systemEnv({ minLevel: 'error' });
const alive = setInterval(() => undefined, 1000);
const reservation = new FileReservation(env.clock, file);
const ownKey = Number(key);
await takeVolume(env, reservation, ownKey, { drainMs: 0 });
const device = await openSharedFile(env, file, {
  fresh: true,
  reservation,
  ownKey,
  createBytes: Number(bytes),
});
const block = device.allocate(DEVICE_BLOCK_BYTES);
const view = new DataView(block.buffer, block.byteOffset);
try {
  for (let number = 1; ; number++) {
    view.setUint32(0, number);
    await device.write(0, block);
    console.log(number);
  }
} catch (error) {
  console.log(error instanceof BlockDeviceError ? error.code : String(error));
}
clearInterval(alive);
