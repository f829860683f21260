import { enableCompileCache } from 'node:module';
import { pathToFileURL } from 'node:url';
import type * as Main from '../broker-runtime/src/main.ts';
import type { FromBroker, ToBroker } from './messages.ts';

// Before anything else is loaded: a start costs a third of the CPU then, and all brokers start at once.
enableCompileCache();
const [{ MillraceError }, { FaultySurroundings }, { summaryOf }] = await Promise.all([
  import('../broker-runtime/src/base/errors.ts'),
  import('./faults.ts'),
  import('./messages.ts'),
]);

const STATUS_INTERVAL_MS = 500;

/**
 * One broker of the twin: the same as on an instance, in surroundings that can be broken. Ends with status 0 after a clean
 * stop, with 1 when it failed; a twin that is gone is a reason to stop cleanly. The surroundings are the twin's, whatever
 * version of the broker stands in them.
 */
const surroundings = new FaultySurroundings();
let broker: Main.RunningBroker | undefined;
let isStarted = false;
let isStopping = false;

const tell = (message: FromBroker): void => {
  if (process.connected) process.send?.(message);
};

async function start(message: ToBroker & { readonly type: 'start' }): Promise<void> {
  isStarted = true;
  surroundings.set(message.faults);
  try {
    const { runBroker } = await versionOf(message.bundle);
    broker = await runBroker(
      message.config,
      { format: 'json' },
      {
        network: (real) => surroundings.network(real),
        objects: (real) => surroundings.objects(real),
      },
    );
  } catch (error) {
    fail(error);
    return;
  }
  const running = broker;
  const { address, internalAddress } = running;
  tell({ type: 'status', status: summaryOf(running) });
  tell({ type: 'ready', address, internalAddress });
  setInterval(() => tell({ type: 'status', status: summaryOf(running) }), STATUS_INTERVAL_MS);
  fail(await running.failed);
}

async function versionOf(bundle: string | undefined): Promise<Pick<typeof Main, 'runBroker'>> {
  if (bundle === undefined) return import('../broker-runtime/src/main.ts');
  return (await import(pathToFileURL(bundle).href)) as typeof Main;
}

function fail(error: unknown): void {
  if (isStopping) return;
  isStopping = true;
  tellFailure(error);
}

function tellFailure(error: unknown): void {
  const code = codeOf(error);
  const text = error instanceof Error ? error : new Error(String(error));
  // A user's mistake is one line; anything else is ours and shows where it came from.
  const message = code === undefined ? (text.stack ?? text.message) : text.message;
  if (!process.connected) process.exit(1);
  process.send?.({ type: 'failed', code: code ?? 'ERROR', message } satisfies FromBroker, () =>
    process.exit(1),
  );
}

/** A bundle has a class of errors of its own; what the system refused has a code, too, and names the call. */
function codeOf(error: unknown): string | undefined {
  if (error instanceof MillraceError) return error.code;
  const isForeign = error instanceof Error && 'code' in error && !('syscall' in error);
  return isForeign && typeof error.code === 'string' ? error.code : undefined;
}

async function stop(drain: boolean): Promise<void> {
  if (isStopping) return;
  isStopping = true;
  try {
    // One that is not up yet may have a log that nobody has read. One that fails while it stops uploads nothing any more.
    const ended = await (broker === undefined
      ? !isStarted
      : Promise.race([broker.close({ drain }), broker.failed]));
    if (ended instanceof Error) tellFailure(ended);
    // Versions that do not tell yet, which drills start, give nothing back: only "no" is a no.
    else process.exit((ended as boolean | undefined) === false ? 1 : 0);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exit(1);
  }
}

process.on('message', (message: ToBroker) => {
  if (message.type === 'start') void start(message);
  else if (message.type === 'faults') surroundings.set(message.faults);
  else void stop(message.drain);
});
process.on('disconnect', () => void stop(false));
process.on('SIGTERM', () => void stop(true));
// A terminal sends it to the whole group: the twin decides how its brokers stop.
process.on('SIGINT', () => undefined);
