import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { processStats } from '../test/harness/process-stats.ts';
import { median } from './median.ts';

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const SERVER = new URL('bare-server.ts', import.meta.url).pathname;
const ROUNDS = 5;
const WARM_UP_ROUNDS = 2;
/** Of a round: as in the runs of the brokers. */
const ROUND_BYTES = 256 * MIB;
const SINGLE_REQUESTS = 100_000;
const SETTLE_MS = 1_000;

/** What a server does with its bytes; see `bare-server.ts`. */
export type BareMode = 'produce' | 'produce-upload' | 'single' | 'tail' | 'catch-up';

/**
 * What cannot be saved: CPU of a Node process that does to the same bytes what every broker must, and nothing else.
 * CPU s/GiB, of `single` µs a request.
 */
export interface BareFigures {
  readonly produce: number;
  readonly produceAndUpload: number;
  readonly tail: number;
  readonly catchUp: number;
  readonly requestCpuUs: number;
}

export async function barePath(): Promise<BareFigures> {
  return {
    produce: await bare('produce'),
    produceAndUpload: await bare('produce-upload'),
    tail: await bare('tail'),
    catchUp: await bare('catch-up'),
    requestCpuUs: await bare('single'),
  };
}

async function bare(mode: BareMode): Promise<number> {
  const child = spawn(process.execPath, [SERVER, mode], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const port = await portOf(child);
    const isSingle = mode === 'single';
    const isFetch = mode === 'tail' || mode === 'catch-up';
    const message = Buffer.alloc(isFetch ? 4 : isSingle ? 1024 : MIB, 0x78);
    const answerBytes = isFetch ? MIB : 4;
    const count = isSingle ? SINGLE_REQUESTS : ROUND_BYTES / MIB;
    // 20 in flight over four connections, as in `requests.ts`; a client of large requests has some over one.
    const connections = isSingle ? 4 : 1;
    const figures: number[] = [];
    for (let round = 0; round < WARM_UP_ROUNDS + ROUNDS; round += 1) {
      const before = processStats(child.pid ?? 0).cpuSeconds;
      await Promise.all(
        Array.from({ length: connections }, () =>
          exchange(port, message, answerBytes, count / connections, isSingle ? 5 : 3),
        ),
      );
      await new Promise((settled) => setTimeout(settled, SETTLE_MS));
      const cpuSeconds = processStats(child.pid ?? 0).cpuSeconds - before;
      figures.push(isSingle ? (cpuSeconds * 1e6) / count : (cpuSeconds * GIB) / ROUND_BYTES);
    }
    return median(figures.slice(WARM_UP_ROUNDS));
  } finally {
    child.kill('SIGKILL');
  }
}

async function portOf(child: ChildProcess): Promise<number> {
  if (child.stdout === null) throw new Error('the server has no standard output');
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return Number(line);
}

/** Sends `count` messages with at most `inFlight` unanswered, and takes the answers. */
async function exchange(
  port: number,
  message: Uint8Array,
  answerBytes: number,
  count: number,
  inFlight: number,
): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  await once(socket, 'connect');
  let sent = 0;
  let receivedBytes = 0;
  const send = (): void => {
    sent += 1;
    socket.write(message);
  };
  for (let n = 0; n < Math.min(inFlight, count); n += 1) send();
  for await (const chunk of socket) {
    const before = Math.floor(receivedBytes / answerBytes);
    receivedBytes += (chunk as Buffer).length;
    const answered = Math.floor(receivedBytes / answerBytes);
    for (let n = before; n < answered && sent < count; n += 1) send();
    if (answered === count) break;
  }
}

if (import.meta.main) {
  const { produce, produceAndUpload, tail, catchUp, requestCpuUs } = await barePath();
  console.log(
    `bare path, CPU s/GiB: produce ${produce.toFixed(2)}, with upload ${produceAndUpload.toFixed(2)}, ` +
      `tail ${tail.toFixed(2)}, catch-up ${catchUp.toFixed(2)}; ${requestCpuUs.toFixed(1)} µs a single-record request`,
  );
}
