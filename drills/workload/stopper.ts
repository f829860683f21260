import { MillraceError } from '../../broker-runtime/src/base/errors.ts';

/** The workload ended before there was an answer. */
export class AbandonedError extends MillraceError {
  readonly code = 'ABANDONED';
}

/** Ends a client's loop: first by asking, later by no longer waiting for it. */
export class Stopper {
  readonly #stopped = Promise.withResolvers<undefined>();
  readonly #abandoned = Promise.withResolvers<never>();
  #isStopped = false;

  constructor() {
    this.#abandoned.promise.catch(() => undefined); // Nobody may be waiting.
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  stop(): void {
    this.#isStopped = true;
    this.#stopped.resolve(undefined);
  }

  abandon(): void {
    this.stop();
    this.#abandoned.reject(new AbandonedError('the workload ended before there was an answer'));
  }

  unlessAbandoned<T>(answer: Promise<T>): Promise<T> {
    return Promise.race([answer, this.#abandoned.promise]);
  }

  /** Shorter when stopped meanwhile. */
  async sleep(ms: number): Promise<void> {
    if (ms <= 0 || this.#isStopped) return;
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    });
    await Promise.race([over, this.#stopped.promise]);
    clearTimeout(timer);
  }
}

/** True when it ended in time. What it does later is not waited for. */
export async function withinMs(work: Promise<unknown>, deadlineMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), deadlineMs);
  });
  const done = work.then(
    () => true,
    () => true,
  );
  const inTime = await Promise.race([done, late]);
  clearTimeout(timer);
  return inTime;
}
