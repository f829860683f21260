/**
 * Host B: takes the volume of host A over when it hears "go", reads the log, and reads it once more at every "again".
 * Usage: host-b.ts fence | preempt. `preempt` is the mistake: a plain preempt, and then believed to be alone.
 */
import { createInterface } from 'node:readline';
import { DirectBlockDevice } from '../../broker-runtime/src/adapters/direct-block-device.ts';
import { NvmeReservation } from '../../broker-runtime/src/adapters/nvme-reservation.ts';
import type { BlockDevice } from '../../broker-runtime/src/ports/block-device.ts';
import type { Reservation } from '../../broker-runtime/src/ports/reservation.ts';
import { recoverBlockWal } from '../../broker-runtime/src/wal/block-wal.ts';
import { previousProcessExited, takeVolume, type WriterIsGone } from '../../broker-runtime/src/wal/fence.ts';
import { A, B, env, OWNER, run, tell } from './guest.ts';

const DRAIN_MS = 10_000;
const reservation = new NvmeReservation(env.clock, B.device);

/** Tells each command when its answer came, so that the order can be seen, and where the time goes. */
async function timed<T>(command: string, answer: Promise<T>): Promise<T> {
  tell({ what: `${command} begins` });
  const startedMs = performance.now();
  const result = await answer;
  tell({ what: command, tookMs: Math.round(performance.now() - startedMs) });
  return result;
}

const told: Reservation = {
  volume: reservation.volume,
  register: (key) => timed('register', reservation.register(key)),
  acquire: (key) => timed('acquire', reservation.acquire(key)),
  preemptAndAbort: (key, victim) => timed('preempt-and-abort', reservation.preemptAndAbort(key, victim)),
  release: (key) => timed('release', reservation.release(key)),
  report: () => timed('report', reservation.report()),
  close: () => reservation.close(),
};

async function fence(): Promise<WriterIsGone> {
  const options = { victimKey: A.key, expectedHolders: [A.key], drainMs: DRAIN_MS };
  const proof = await takeVolume(env, told, B.key, options);
  tell({ what: 'fenced', text: proof.drain });
  return [proof];
}

async function preempt(device: BlockDevice): Promise<WriterIsGone> {
  const options = [`--crkey=${B.key}`, `--prkey=${A.key}`, '--rtype=1', '--racqa=1'];
  await run('nvme', ['resv-acquire', B.device, ...options]);
  const { holder } = await reservation.report();
  tell({ what: 'fenced', text: holder === B.key ? 'holds' : 'does not hold' });
  return previousProcessExited([device]);
}

async function readLog(device: BlockDevice, writer: WriterIsGone): Promise<void> {
  const offsets: number[] = [];
  const recovery = await recoverBlockWal([device], OWNER, env, writer);
  for await (const group of recovery.groups())
    offsets.push(...group.entries.map((entry) => entry.baseOffset));
  tell({ what: 'read', offsets });
}

const isPlain = process.argv[2] === 'preempt';
if (isPlain) await reservation.register(B.key);
const device = await DirectBlockDevice.open(env, B.device);
tell({ what: 'ready' });
let writer: WriterIsGone | undefined;
for await (const word of createInterface({ input: process.stdin })) {
  if (word === 'go') writer = isPlain ? await preempt(device) : await fence();
  if (writer !== undefined) await readLog(device, writer);
}
