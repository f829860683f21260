import { setMaxListeners } from 'node:events';

/**
 * Makes `AbortSignal.any` one that the garbage collector can take, until the answer is called. Node keeps the result of
 * its own for as long as somebody listens to it; what a killed process of the simulation listens to is never aborted, so
 * all of its world, disks and all, stayed in memory for every seed.
 */
export function collectableSignals(): () => void {
  const own = Object.getOwnPropertyDescriptor(AbortSignal, 'any');
  AbortSignal.any = anyOf;
  return () => {
    if (own !== undefined) Object.defineProperty(AbortSignal, 'any', own);
  };
}

function anyOf(signals: Iterable<AbortSignal>): AbortSignal {
  const controller = new AbortController();
  const abort = (event: Event): void => {
    controller.abort(event.target instanceof AbortSignal ? event.target.reason : undefined);
  };
  for (const signal of signals) {
    if (signal.aborted) {
      controller.abort(signal.reason);
      break;
    }
    setMaxListeners(0, signal);
    signal.addEventListener('abort', abort, { once: true });
  }
  return controller.signal;
}
