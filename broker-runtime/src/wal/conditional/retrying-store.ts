import { backoffMs } from '../../base/backoff.ts';
import { messageOf } from '../../base/errors.ts';
import type { Env } from '../../ports/env.ts';
import { ObjectStoreError } from '../../ports/object-store.ts';
import type { ListPage, ObjectStore, PutCondition, StoredObject } from '../../ports/object-store.ts';

const BACKOFF = { firstMs: 50, maxMs: 5_000 };
/** A wait is said once when it begins and then at most this often, so an outage of hours is a page of log. */
const REMIND_MS = 60_000;

export type CertainPut =
  | { readonly outcome: 'committed'; readonly etag: string }
  | { readonly outcome: 'rejected'; readonly reason: 'exists' | 'changed' | 'missing' };

interface Waiting {
  readonly what: string;
  readonly sinceMs: number;
  cause: unknown;
}

/**
 * The object store with the answer table of protocol 3.7: an operation ends only with a certain answer. A put
 * that was answered UNKNOWN or CONFLICT is repeated with the same bytes at the same key and nothing else: a
 * read that finds the key free would prove nothing (R3, M3). Repeats go on while the store is down, with a
 * bounded delay and visibly in {@link trouble}; a deadline is the caller's matter.
 */
export class RetryingStore {
  readonly #env: Env;
  readonly #store: ObjectStore;
  readonly #signal: AbortSignal;
  readonly #room: string;
  readonly #waiting = new Set<Waiting>();

  /**
   * Aborting the signal rejects every waiting operation with its reason; their outcome stays unknown. `room` is what
   * the names of its events begin with.
   */
  constructor(env: Env, store: ObjectStore, signal: AbortSignal, room = 'journal') {
    this.#env = env;
    this.#store = store;
    this.#signal = signal;
    this.#room = room;
  }

  /** What is being repeated and why, or undefined while all goes well. */
  get trouble(): string | undefined {
    for (const waiting of this.#waiting) {
      const seconds = Math.round((this.#env.clock.monotonicMs() - waiting.sinceMs) / 1000);
      return `waiting for the object store since ${seconds} s: ${waiting.what}: ${messageOf(waiting.cause)}`;
    }
    return undefined;
  }

  /** @throws {ObjectStoreError} DENIED */
  put(key: string, bytes: Uint8Array, condition: PutCondition): Promise<CertainPut> {
    return this.#repeat(`put ${key}`, async () => {
      const answer = await this.#store.put(key, [bytes], condition);
      switch (answer.outcome) {
        case 'committed':
        case 'rejected':
          return { value: answer };
        case 'conflict':
          return { cause: new Error('a concurrent operation on the key (409)') };
        case 'unknown':
          return { cause: answer.cause };
      }
    });
  }

  /** Undefined when the key is free at the moment, which says nothing about a put under way. */
  get(key: string): Promise<StoredObject | undefined> {
    return this.#repeat(`get ${key}`, async () => {
      try {
        return { value: await this.#store.get(key) };
      } catch (error) {
        if (error instanceof ObjectStoreError && error.code === 'NOT_FOUND') return { value: undefined };
        return { cause: retriable(error) };
      }
    });
  }

  list(prefix: string, options: { readonly after?: string; readonly limit?: number }): Promise<ListPage> {
    return this.#repeat(`list ${prefix}`, async () => {
      try {
        return { value: await this.#store.list(prefix, options) };
      } catch (error) {
        return { cause: retriable(error) };
      }
    });
  }

  delete(keys: readonly string[]): Promise<void> {
    return this.#repeat(`delete ${keys[0] ?? 'nothing'} and ${keys.length - 1} more`, async () => {
      try {
        await this.#store.delete(keys);
        return { value: undefined };
      } catch (error) {
        return { cause: retriable(error) };
      }
    });
  }

  async #repeat<T>(what: string, attempt: () => Promise<{ value: T } | { cause: unknown }>): Promise<T> {
    const { clock, random, events } = this.#env;
    let waiting: Waiting | undefined;
    let saidMs = 0;
    try {
      for (let repeat = 0; ; repeat++) {
        this.#signal.throwIfAborted();
        const answer = await attempt();
        if ('value' in answer) {
          if (waiting !== undefined) {
            events.info(`${this.#room}.store-answers-again`, {
              what,
              afterMs: Math.round(clock.monotonicMs() - waiting.sinceMs),
            });
          }
          return answer.value;
        }
        const nowMs = clock.monotonicMs();
        waiting ??= { what, sinceMs: nowMs, cause: answer.cause };
        waiting.cause = answer.cause;
        if (!this.#waiting.has(waiting) || nowMs - saidMs >= REMIND_MS) {
          events.warn(`${this.#room}.waiting-for-store`, { what, cause: messageOf(answer.cause) });
          saidMs = nowMs;
        }
        this.#waiting.add(waiting);
        await clock.sleep(backoffMs(repeat, BACKOFF, random), this.#signal);
      }
    } finally {
      if (waiting !== undefined) this.#waiting.delete(waiting);
    }
  }
}

/** The cause when repeating may help; anything else (DENIED, a closed store, a bug) is thrown on. */
function retriable(error: unknown): unknown {
  if (error instanceof ObjectStoreError && error.code === 'UNAVAILABLE') return error;
  throw error;
}
