import { once } from 'node:events';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

interface Beat {
  readonly intervalMs: number;
  readonly forMs: number;
}

/**
 * Runs `act` at a rate as fio's `rate_iops` does: `jobs` of them at most at a time, and a beat that nobody was free
 * for is made up for afterwards. Resolves when the last has ended.
 *
 * The beat comes from a thread that sleeps. Timers of Node are whole milliseconds, and a loop that turns until the next
 * beat is due takes one core of two from what is measured.
 */
export async function atRate(
  perSecond: number,
  forMs: number,
  jobs: number,
  act: () => Promise<void>,
): Promise<void> {
  const beat: Beat = { intervalMs: 1000 / perSecond, forMs };
  const thread = new Worker(import.meta.filename, { workerData: beat });
  const running = new Set<Promise<void>>();
  let due = 0;
  const begin = (): void => {
    while (due > 0 && running.size < jobs) {
      due -= 1;
      const one = act().finally(() => {
        running.delete(one);
        begin();
      });
      running.add(one);
    }
  };
  thread.on('message', () => {
    due += 1;
    begin();
  });
  await once(thread, 'exit');
  due = 0;
  await Promise.all(running);
}

function beats({ intervalMs, forMs }: Beat): void {
  const never = new Int32Array(new SharedArrayBuffer(4));
  const startMs = performance.now();
  for (let beat = 1; beat * intervalMs < forMs; beat += 1) {
    const waitMs = startMs + beat * intervalMs - performance.now();
    if (waitMs > 0) Atomics.wait(never, 0, 0, waitMs);
    parentPort?.postMessage(beat);
  }
}

if (!isMainThread) beats(workerData as Beat);
