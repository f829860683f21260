import { closeSync, fdatasync, openSync, read, unlinkSync, writev, writeSync } from 'node:fs';
import path from 'node:path';
import { DirectBlockDevice } from '../broker-runtime/src/adapters/direct-block-device.ts';
import { systemEnv } from '../broker-runtime/src/adapters/system-env.ts';
import { TcpNetwork } from '../broker-runtime/src/adapters/tcp-network.ts';
import { crc32c } from '../broker-runtime/src/base/crc32c.ts';
import type { Connection, Receiver } from '../broker-runtime/src/ports/network.ts';
import { TempDir } from '../test/harness/temp-dir.ts';
import type { BareMode } from './bare-path.ts';

/*
 * The least a broker can do: messages of a fixed size without any protocol.
 *
 *   produce          socket -> message -> CRC-32C -> copy into aligned memory -> O_DIRECT write -> answer of 4 bytes
 *   produce-upload   the same, and every 16 MiB once more into a file, synced
 *   single           the same with 1 KiB messages that share a write while the device is busy
 *   tail             request of 4 bytes -> 1 MiB from memory
 *   catch-up         request of 4 bytes -> 1 MiB read from a file -> CRC-32C -> socket
 */
const MIB = 1024 ** 2;
const mode = process.argv[2] as BareMode;
const isFetch = mode === 'tail' || mode === 'catch-up';
const messageBytes = isFetch ? 4 : mode === 'single' ? 1024 : MIB;
const GROUP_BYTES = MIB;
const DEVICE_BYTES = 256 * MIB;
const FILE_BYTES = 256 * MIB;
const OBJECT_GROUPS = 16;
const WRITES_IN_FLIGHT = 2;
/** With uploads a slab is kept until its object is written. */
const SLABS = 64;

const dir = new TempDir();
process.on('exit', () => dir.remove());
const device = await DirectBlockDevice.open(systemEnv({ minLevel: 'warn' }), dir.join('device'), {
  createBytes: DEVICE_BYTES,
});
const slabs = Array.from({ length: SLABS }, () => device.allocate(GROUP_BYTES).fill(1));
const file = openSync(dir.join('file'), 'w+');
if (mode === 'catch-up') {
  for (let at = 0; at < FILE_BYTES; at += MIB) writeSync(file, new Uint8Array(MIB).fill(7));
}

interface Group {
  readonly slab: Uint8Array;
  filledBytes: number;
  readonly answers: (() => void)[];
}
const queue: Group[] = [];
let writing = 0;
let position = 0;
let objects = 0;
let object: Uint8Array[] = [];
const ANSWER = new Uint8Array(4);

function append(message: Uint8Array, answer: () => void): void {
  if (crc32c(message) === 1) throw new Error('never');
  let group = queue.at(-1);
  if (group === undefined || group.filledBytes + message.length > GROUP_BYTES) {
    const slab = slabs.pop();
    if (slab === undefined) throw new Error('clients have less in flight than there are slabs');
    group = { slab, filledBytes: 0, answers: [] };
    queue.push(group);
  }
  group.slab.set(message, group.filledBytes);
  group.filledBytes += message.length;
  group.answers.push(answer);
  setImmediate(pump);
}

function pump(): void {
  while (writing < WRITES_IN_FLIGHT) {
    const group = queue.shift();
    if (group === undefined) return;
    writing += 1;
    const bytes = Math.ceil(group.filledBytes / 4096) * 4096;
    if (position + bytes > DEVICE_BYTES) position = 0;
    void device.write(position, group.slab.subarray(0, bytes)).then(() => {
      writing -= 1;
      for (const answer of group.answers) answer();
      if (mode === 'produce-upload') upload(group.slab);
      else slabs.push(group.slab);
      pump();
    });
    position += bytes;
  }
}

function upload(slab: Uint8Array): void {
  object.push(slab);
  if (object.length < OBJECT_GROUPS) return;
  const pieces = object;
  object = [];
  objects += 1;
  const name = path.join(dir.path, `object-${objects}`);
  const handle = openSync(name, 'w');
  writev(handle, pieces, (failed) => {
    if (failed !== null) throw failed;
    fdatasync(handle, () => {
      closeSync(handle);
      unlinkSync(name);
      slabs.push(...pieces);
    });
  });
}

let readPosition = 0;
function fetch(connection: Connection): void {
  const slab = slabs.pop();
  if (slab === undefined) throw new Error('clients have less in flight than there are slabs');
  const done = (): void => void slabs.push(slab);
  if (mode === 'tail') {
    connection.send([slab], done);
    return;
  }
  read(file, slab, 0, MIB, readPosition, () => {
    if (crc32c(slab) === 1) throw new Error('never');
    connection.send([slab], done);
  });
  readPosition = (readPosition + MIB) % FILE_BYTES;
}

function receiver(connection: Connection): Receiver {
  let message = new Uint8Array(messageBytes);
  let filled = 0;
  return {
    buffer: () => message.subarray(filled),
    received: (length) => {
      filled += length;
      if (filled < messageBytes) return;
      filled = 0;
      if (isFetch) fetch(connection);
      else append(message, () => connection.send([ANSWER]));
    },
    drained: () => undefined,
    closed: () => {
      message = new Uint8Array(0);
    },
  };
}

const listener = await new TcpNetwork().listen({ host: '127.0.0.1', port: 0 }, receiver);
console.log(listener.address.port);
