import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { NvmeReservation } from '../../broker-runtime/src/adapters/nvme-reservation.ts';
import { TcpNetwork } from '../../broker-runtime/src/adapters/tcp-network.ts';
import type { Address } from '../../broker-runtime/src/ports/network.ts';
import { nodeOfKey } from '../../broker-runtime/src/ports/reservation.ts';
import { checkDrain, type Observation } from '../harness/history.ts';
import { kafkajsProducer } from '../harness/producers.ts';
import { CreateTopics, Fetch, fetchedRow, fetchFrom, recordsIn } from '../server/broker-rig.ts';
import { KafkaClient } from '../simulation/world/kafka-client.ts';
import { GuestBroker } from './guest-broker.ts';
import { A, B, env, holdWrites, letWritesGo, until } from './guest.ts';
import { PinnedProducer } from './pinned-producer.ts';
import type { TakeoverCase } from './takeovers.ts';

const FOLDER = '/tmp/cluster';
const TOPIC = 'orders';
/** Partitions: one for each producer, both led by broker 1. */
const ROAMING = 0;
const PINNED = 1;
const BATCH_RECORDS = 5;
/** An emulated CPU takes its time to load a broker. */
const READY_DEADLINE_MS = 90_000;
const ACKED_BEFORE = 20;
/** Acknowledged by broker 2, after the takeover. */
const ACKED_AFTER = 10;
/** Until both producers have writes in the disk. */
const IN_FLIGHT_AFTER_MS = 1000;
const ABORT_WATCHED_MS = 2500;
/** The session of broker 1 passes before. */
const ABORT_DEADLINE_MS = 90_000;

/** What broker 2 tells of a takeover: the abort was answered, the report confirmed it, the log was read, all is done. */
const STEPS = ['fence.displaced', 'fence.taken', 'wal.recovered', 'takeover.finished'];

type Later = (close: () => unknown) => void;

export const BROKER_TAKEOVER_CASES: readonly TakeoverCase[] = [
  {
    name: 'a broker that stops in the middle of its writes and wakes in its takeover acknowledges nothing and ends, nothing is lost',
    run: async () => {
      const opened: (() => unknown)[] = [() => rmSync(FOLDER, { recursive: true, force: true })];
      try {
        return await stopAndWake((close) => opened.push(close));
      } finally {
        await letWritesGo();
        for (const close of opened.reverse()) await close();
      }
    },
  },
];

async function stopAndWake(later: Later): Promise<string> {
  // Broker 2 first: so it is the controller, and nothing but the session of broker 1 has to pass.
  const two = await startBroker(2, B.device, later);
  const one = await startBroker(1, A.device, later);
  await createTopic(two.address);
  const { host, port } = two.address;
  const roaming = await kafkajsProducer(`${host}:${port}`, TOPIC, BATCH_RECORDS);
  const pinned = await PinnedProducer.connect(one.address, TOPIC, PINNED);
  later(() => pinned.close());
  const areAcked = (): boolean => Math.min(roaming.acked.length, pinned.acked.length) >= ACKED_BEFORE;
  await until('acknowledgements of broker 1', () => areAcked() || undefined);

  await holdWrites();
  await sleep(IN_FLIGHT_AFTER_MS);
  one.signal('SIGSTOP');
  await until('the abort', () => isAborting() || undefined, ABORT_DEADLINE_MS);
  await sleep(ABORT_WATCHED_MS);
  assert.ok(isAborting(), 'the abort did not wait for the writes of broker 1');
  assert.deepEqual(two.all('fence.displaced'), []);
  await letWritesGo();
  const { drain } = await two.heard('fence.taken', { volume: B.device });
  assert.equal(drain, 'aborted');

  const { unanswered } = pinned;
  assert.ok(unanswered > 0, 'nothing was under way: broker 1 is no zombie');
  const ackedByOne = { roaming: roaming.acked.length, pinned: pinned.acked.length };
  // The controller must not be what tells broker 1: its own lease keeps it from acknowledging, the device ends it.
  two.signal('SIGSTOP');
  one.signal('SIGCONT');
  assert.equal(await one.ended(), '1', 'broker 1 did not end as one that failed');
  two.signal('SIGCONT');
  const { fenceMs, replayMs } = await two.heard('takeover.finished', { nodeId: 1 });
  const isServed = (): boolean => roaming.acked.length >= ackedByOne.roaming + ACKED_AFTER;
  await until('acknowledgements of broker 2', () => isServed() || undefined);
  await roaming.stop();

  assert.equal(pinned.acked.length, ackedByOne.pinned, 'broker 1 acknowledged after the fence');
  // Before, it took its own volume, which was new: nobody was displaced.
  const told = two.events.map(({ event }) => event);
  const begun = told.indexOf('fence.displaced');
  assert.deepEqual(
    told.slice(begun).filter((event) => STEPS.includes(event)),
    STEPS,
  );
  const { holder } = await new NvmeReservation(env.clock, B.device).report();
  assert.equal(holder === undefined ? undefined : nodeOfKey(holder).nodeId, 2);
  const read = [await readAll(two.address, ROAMING), await readAll(two.address, PINNED)] as const;
  const { lost, duplicated, inconsistent, gaps, reordered } = checkDrain(
    [...roaming.acked, ...pinned.acked],
    read.flat(),
  );
  assert.deepEqual([lost, duplicated, inconsistent, gaps, reordered], [[], [], [], [], []]);
  return (
    `${ackedByOne.roaming + ackedByOne.pinned} acknowledged by broker 1, 0 lost; of ${unanswered} requests under way when ` +
    `it woke 0 acknowledged, ${read[PINNED].length - ackedByOne.pinned} recovered all the same; fenced in ` +
    `${String(fenceMs)} ms, log read and uploaded in ${String(replayMs)} ms\n        broker 1: ${reasonOf(one)}`
  );
}

function reasonOf(broker: GuestBroker): string {
  return String(broker.all('failed')[0]?.['message']);
}

/** `device`: the volume of broker 1 as this one's host sees it. That of broker 2 is a file, and nothing happens to it. */
async function startBroker(nodeId: number, device: string, later: Later): Promise<GuestBroker> {
  const volumes = { 1: device, 2: path.join(FOLDER, 'volume-2') };
  const broker = new GuestBroker({ nodeId, folder: FOLDER, volumes });
  later(() => broker.kill());
  await broker.heard('ready', {}, READY_DEADLINE_MS);
  return broker;
}

async function createTopic(address: Address): Promise<void> {
  const client = await KafkaClient.connect(new TcpNetwork(), address);
  const assignments = [ROAMING, PINNED].map((partitionIndex) => ({ partitionIndex, brokerIds: [1] }));
  const { topics } = await client.call(CreateTopics, 7, {
    topics: [{ name: TOPIC, numPartitions: -1, replicationFactor: -1, assignments, configs: [] }],
  });
  client.destroy();
  assert.equal(topics[0]?.errorCode, 0, String(topics[0]?.errorMessage));
}

/** A whole partition, as this broker has it. */
async function readAll(address: Address, partition: number): Promise<Observation[]> {
  const client = await KafkaClient.connect(new TcpNetwork(), address);
  const read: Observation[] = [];
  for (;;) {
    const request = fetchFrom(TOPIC, read.length, {}, { partition });
    const { errorCode, records } = fetchedRow(await client.call(Fetch, 4, request));
    assert.equal(errorCode, 0);
    const found = recordsIn(records).map((line) => {
      const [offset = '', value = ''] = line.split(':');
      return { partition, offset: Number(offset), value };
    });
    if (found.length === 0) break;
    read.push(...found);
  }
  client.destroy();
  return read;
}

/** Whether a preempt-and-abort is under way: broker 2 tells of it when it was answered. */
function isAborting(): boolean {
  return readdirSync('/proc').some((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('--racqa=2');
    } catch {
      return false; // It ended meanwhile.
    }
  });
}
