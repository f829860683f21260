import { once } from 'node:events';
import { connect } from 'node:net';
import { decodeResponse, encodeRequest, FRAME_SIZE_BYTES } from '../broker-runtime/src/wire/headers.ts';
import { ProduceRequest, ProduceResponse } from '../broker-runtime/src/wire/messages/produce.ts';
import { buildBatch } from '../broker-runtime/src/wire/records/build-batch.ts';
import { runOk } from '../test/harness/command.ts';
import { processStats } from '../test/harness/process-stats.ts';
import type { MeasuredBroker } from './brokers.ts';

const CONNECTIONS = 4;
const IN_FLIGHT_EACH = 5;
const RECORD_BYTES = 1024;
/**
 * Counted, not timed: a compiler that learns has seen enough after so many requests, not after so many seconds. After
 * 2 s beside busy neighbours the same code took 172 µs, three runs later 97.
 */
const WARM_UP_REQUESTS = 100_000;
const WARM_UP_MAX_MS = 30_000;
const RUN_MS = 5_000;
/** The newest version with topic names, which is what librdkafka 2.x sends. */
const PRODUCE_VERSION = 9;

/**
 * The smallest unit of work: Produce requests of one 1 KiB record, acks=all, {@link CONNECTIONS} connections with
 * {@link IN_FLIGHT_EACH} in flight. No client library batches them, so this is the price of a request.
 * @returns CPU of the broker per request, microseconds
 */
export async function singleRecordRequests(broker: MeasuredBroker, topic: string): Promise<number> {
  await runOk('kcat', ['-P', '-b', broker.bootstrapServers, '-t', topic, '-p', '0'], { input: 'first\n' });
  const request = produceRequest(topic);
  await answeredWithin(broker, request, WARM_UP_MAX_MS, WARM_UP_REQUESTS);
  const cpuBefore = processStats(broker.pid).cpuSeconds;
  const answered = await answeredWithin(broker, request, RUN_MS);
  return ((processStats(broker.pid).cpuSeconds - cpuBefore) * 1e6) / answered;
}

function produceRequest(topic: string): Uint8Array {
  const value = new Uint8Array(RECORD_BYTES).fill(0x78);
  const records = buildBatch({ records: [{ offset: 0, timestampMs: Date.now(), key: null, value }] });
  const header = { correlationId: 1, clientId: 'bench' };
  const { pieces } = encodeRequest(ProduceRequest, PRODUCE_VERSION, header, {
    acks: -1,
    timeoutMs: 30_000,
    topicData: [{ name: topic, partitionData: [{ index: 0, records: [records] }] }],
  });
  return Buffer.concat(pieces);
}

/** @returns how many were answered within the time, or about `most` of them */
async function answeredWithin(
  broker: MeasuredBroker,
  request: Uint8Array,
  forMs: number,
  most = Infinity,
): Promise<number> {
  const limits = { untilMs: performance.now() + forMs, most: most / CONNECTIONS };
  const each = await Promise.all(
    Array.from({ length: CONNECTIONS }, () => oneConnection(broker, request, limits)),
  );
  return each.reduce((sum, answered) => sum + answered, 0);
}

/** Sends the next request for each answer until time or number is up, then takes the answers that are due. */
async function oneConnection(
  broker: MeasuredBroker,
  request: Uint8Array,
  { untilMs, most }: { readonly untilMs: number; readonly most: number },
): Promise<number> {
  const [host = '', port = ''] = broker.bootstrapServers.split(':');
  const socket = connect({ host, port: Number(port), noDelay: true });
  await once(socket, 'connect');
  let answered = 0;
  let inFlight = IN_FLIGHT_EACH;
  let rest = Buffer.alloc(0);
  for (let n = 0; n < IN_FLIGHT_EACH; n += 1) socket.write(request);
  for await (const chunk of socket) {
    rest = Buffer.concat([rest, chunk as Buffer]);
    while (rest.length >= FRAME_SIZE_BYTES) {
      const end = FRAME_SIZE_BYTES + rest.readInt32BE(0);
      if (rest.length < end) break;
      if (answered === 0) refuseErrors(rest.subarray(FRAME_SIZE_BYTES, end));
      rest = rest.subarray(end);
      answered += 1;
      inFlight -= 1;
      if (answered >= most || performance.now() >= untilMs) continue;
      socket.write(request);
      inFlight += 1;
    }
    if (inFlight === 0) break;
  }
  return answered;
}

function refuseErrors(frame: Uint8Array): void {
  const { responses } = decodeResponse(ProduceResponse, PRODUCE_VERSION, frame).body;
  const errorCode = responses[0]?.partitionResponses[0]?.errorCode;
  if (errorCode !== 0) throw new Error(`the broker refused a single-record request with error ${errorCode}`);
}
