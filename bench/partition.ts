import { crc32c } from '../broker-runtime/src/base/crc32c.ts';
import { openPartition } from '../broker-runtime/src/log/partition.ts';
import type { Stream } from '../broker-runtime/src/store/stream.ts';
import type { WalGroup } from '../broker-runtime/src/wal/wal.ts';
import { BatchHeader } from '../broker-runtime/src/wire/records/batch-header.ts';
import { buildBatch } from '../broker-runtime/src/wire/records/build-batch.ts';
import { simEnv } from '../test/simulation/world/sim-env.ts';
import { DEFAULT_CONFIG } from '../test/log/kit.ts';
import { MemoryStream } from '../test/log/memory-stream.ts';
import { median } from './median.ts';

const BATCH_BYTES = 1024;
const APPENDS = 200_000;
const ROUNDS = 7;
const SLAB_BYTES = 8 * 1024 ** 2;

/** A stream that does what a WAL does to the CPU: one copy into a slab. Durable at once, nothing can be read. */
function slabStream(): Stream {
  const empty = new MemoryStream(1);
  const slab = new Uint8Array(SLAB_BYTES);
  const nothing = (): void => undefined;
  const durable = Promise.resolve();
  const group: WalGroup = {
    sequence: 0,
    sizeBytes: 0,
    entries: [],
    durable,
    retain: nothing,
    release: nothing,
  };
  let at = 0;
  let endOffset = 0;
  let listener: (durableOffset: number) => void = nothing;
  return {
    id: 1,
    startOffset: 0,
    get endOffset() {
      return endOffset;
    },
    get durableOffset() {
      return endOffset;
    },
    append: (_, count, __, bytes) => {
      if (at + bytes.length > SLAB_BYTES) at = 0;
      slab.set(bytes, at);
      at += bytes.length;
      endOffset += count;
      listener(endOffset);
      return group;
    },
    onDurable: (next) => {
      listener = next;
      return nothing;
    },
    read: (...args) => empty.read(...args),
    trim: () => Promise.resolve(),
    ranges: () => [],
    replace: () => Promise.resolve(),
    flush: () => Promise.resolve(),
  };
}

function batch(idempotent: boolean): Uint8Array {
  const value = new Uint8Array(BATCH_BYTES - 72);
  return buildBatch({
    records: [{ offset: 0, timestampMs: 1, key: null, value }],
    ...(idempotent ? { producerId: 1, producerEpoch: 0, baseSequence: 0 } : {}),
  });
}

/** CPU of this process, not time: what else the machine does stays out. */
function cpuNsEach(work: (n: number) => void): number {
  const before = process.cpuUsage();
  for (let n = 0; n < APPENDS; n++) work(n);
  const { user, system } = process.cpuUsage(before);
  return ((user + system) * 1000) / APPENDS;
}

/** What cannot be saved: the checksum and the copy. */
function floorNs(): number {
  const bytes = batch(false);
  const slab = new Uint8Array(SLAB_BYTES);
  let at = 0;
  return cpuNsEach(() => {
    if (crc32c(bytes.subarray(21)) === 1) throw new Error('never');
    if (at + bytes.length > SLAB_BYTES) at = 0;
    slab.set(bytes, at);
    at += bytes.length;
  });
}

async function appendNs(idempotent: boolean): Promise<number> {
  const partition = await openPartition({
    topicId: 'bench',
    topic: 'bench',
    partition: 0,
    leaderEpoch: 0,
    data: slabStream(),
    states: Object.assign(new MemoryStream(2), { autoSettle: true }),
    config: DEFAULT_CONFIG,
    env: simEnv(1),
    admit: () => undefined,
  });
  const bytes = batch(idempotent);
  const header = new BatchHeader(bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  // The client's work, measured alone and taken off.
  const prepare = (n: number): void => {
    header.assignOffset(0, 0);
    if (!idempotent) return;
    view.setInt32(53, n);
    view.setUint32(17, header.computeCrc());
  };
  const prepareNs = cpuNsEach(prepare);
  const bothNs = cpuNsEach((n) => {
    prepare(n);
    const { error } = partition.append(bytes, { origin: 'client' });
    if (error !== 0) throw new Error(`append ${n} was refused with error ${error}`);
  });
  return bothNs - prepareNs;
}

/** `node bench/partition.ts`: what the log adds to checksum and copy of a 1 KiB batch, on one core. */
const rounds: { floor: number; plain: number; idempotent: number }[] = [];
for (let round = 0; round < ROUNDS; round++) {
  rounds.push({ floor: floorNs(), plain: await appendNs(false), idempotent: await appendNs(true) });
}
const floor = median(rounds.map((round) => round.floor));
for (const kind of ['floor', 'plain', 'idempotent'] as const) {
  const ns = median(rounds.map((round) => round[kind]));
  const perSecond = Math.round(1e9 / ns).toLocaleString('en');
  console.log(
    `${kind.padEnd(10)} ${ns.toFixed(0).padStart(5)} ns  ${perSecond.padStart(10)}/s  x${(ns / floor).toFixed(2)}`,
  );
}
