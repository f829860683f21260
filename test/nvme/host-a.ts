/**
 * Host A: a broker's write-ahead log on its view of the volume. It appends all the time and does not know, nor want to
 * know, that it was fenced: no lease, no watch unless asked for. Usage: host-a.ts [watch]
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { DirectBlockDevice } from '../../broker-runtime/src/adapters/direct-block-device.ts';
import { NvmeReservation } from '../../broker-runtime/src/adapters/nvme-reservation.ts';
import { BlockDeviceError } from '../../broker-runtime/src/ports/block-device.ts';
import { BlockWal, formatBlockWal, recoverBlockWal } from '../../broker-runtime/src/wal/block-wal.ts';
import { takeVolume } from '../../broker-runtime/src/wal/fence.ts';
import { watchReservation } from '../../broker-runtime/src/wal/reservation-watch.ts';
import { A, env, OWNER, tell } from './guest.ts';

const APPEND_EVERY_MS = 50;
const PAYLOAD_BYTES = 1000;
/** A raw write of a zombie, where the log never comes in a test so short. */
const FAR_AWAY = 32 * 1024 * 1024;

function causeOf(error: unknown): unknown {
  return error instanceof Error && error.cause !== undefined ? causeOf(error.cause) : error;
}

const isWatching = process.argv[2] === 'watch';
const reservation = new NvmeReservation(env.clock, A.device);
const proof = await takeVolume(env, reservation, A.key, { drainMs: 0 });
const device = await DirectBlockDevice.open(env, A.device);
await formatBlockWal([device], OWNER, env);
const recovery = await recoverBlockWal([device], OWNER, env, [proof]);
for await (const group of recovery.groups()) throw new Error(`a new volume holds group ${group.sequence}`);

const options = { nodeEpoch: A.nodeEpoch, mayAcknowledge: (): true => true };
const wal = await BlockWal.open(recovery, options, env, {
  onDurable: () => undefined,
  onMemoryWanted: () => undefined,
  onFailed: (error) => {
    const chain = [error, error.cause, causeOf(error)];
    const found = chain.find((each) => each instanceof BlockDeviceError);
    tell({ what: 'failed', text: found?.code ?? `${error.name}: ${error.message}` });
  },
});
if (isWatching) watchReservation(env, reservation, A.key, (error) => wal.fence(error));
tell({ what: 'open' });

/** Memory is not the matter here: what a group held is never needed again. */
async function append(offset: number): Promise<void> {
  const waiting = wal.admit(PAYLOAD_BYTES, 1);
  if (waiting !== undefined) await waiting;
  const group = wal.append(1, offset, 1, offset, new Uint8Array(PAYLOAD_BYTES).fill(offset & 0xff));
  group.durable.then(
    () => tell({ what: 'acked', offset }),
    () => tell({ what: 'nacked', offset }),
  );
}

for (let offset = 0; ; offset++) {
  try {
    await append(offset);
  } catch {
    tell({ what: 'refused', offset });
    break;
  }
  await sleep(APPEND_EVERY_MS);
}
// The WAL took no more. And the device? Below the WAL nothing stops this process.
try {
  await device.write(FAR_AWAY, device.allocate(4096).fill(0xee));
  tell({ what: 'raw', text: 'stored' });
} catch (error) {
  tell({ what: 'raw', text: error instanceof BlockDeviceError ? error.code : String(error) });
}
setInterval(() => undefined, 1000);
