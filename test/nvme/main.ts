/** Runs in the guest: the reservation suite on real reservations, then takeovers of a log that is being written. */
import { setTimeout as sleep } from 'node:timers/promises';
import { DirectBlockDevice } from '../../broker-runtime/src/adapters/direct-block-device.ts';
import { NvmeReservation } from '../../broker-runtime/src/adapters/nvme-reservation.ts';
import { RESERVATION_CASES, type SharedHost } from '../conformance/reservation.ts';
import { BROKER_TAKEOVER_CASES } from './broker-takeover.ts';
import { TAKEOVER_CASES } from './takeovers.ts';
import { A, B, cleanVolume, env } from './guest.ts';

let passed = 0;
let failed = 0;

async function check(name: string, act: () => Promise<string | undefined>): Promise<void> {
  const startedMs = performance.now();
  const took = (): string => `${((performance.now() - startedMs) / 1000).toFixed(1)} s`;
  try {
    await cleanVolume();
    const figures = await act();
    passed++;
    console.log(`ok    ${name} (${took()})${figures === undefined ? '' : `\n        ${figures}`}`);
  } catch (error) {
    failed++;
    console.log(`FAIL  ${name} (${took()})\n${error instanceof Error ? error.stack : String(error)}`);
  }
}

function host(device: string): SharedHost {
  const open = (): Promise<DirectBlockDevice> => DirectBlockDevice.open(env, device);
  return { reservation: new NvmeReservation(env.clock, device), openToWrite: open, openToRead: open };
}

// The system's timers do not keep a process alive.
const alive = setInterval(() => undefined, 1000);
console.log('# reservations of an NVMe namespace');
for (const { name, run } of RESERVATION_CASES) {
  await check(name, async () => {
    await run({
      env,
      a: host(A.device),
      b: host(B.device),
      settle: (work) => work,
      stop: () => Promise.resolve(),
    });
    return undefined;
  });
}
console.log('# host A writes its log, host B takes it over');
for (const { name, run } of TAKEOVER_CASES) await check(name, run);
console.log('# two brokers, each on its view of the volume');
for (const { name, run } of BROKER_TAKEOVER_CASES) await check(name, run);
await sleep(0);
clearInterval(alive);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
