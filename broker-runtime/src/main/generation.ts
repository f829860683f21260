import { GenerationStore } from '../adapters/generation-store.ts';
import { backoffMs } from '../base/backoff.ts';
import { messageOf, MillraceError } from '../base/errors.ts';
import type { Env } from '../ports/env.ts';
import { type ObjectStore, ObjectStoreError } from '../ports/object-store.ts';
import { DATA_PREFIX } from '../store/object-key.ts';
import { FLOOR_KEY } from '../wal/seed-log.ts';

const BACKOFF = { firstMs: 50, maxMs: 5_000 };

/** The store holds another generation of the cluster than the one asked for. */
export class GenerationError extends MillraceError {
  readonly code = 'GENERATION';
}

/*
 * A cluster that went on in a copy of its bucket is a generation of its own (protocol 3.9). Each has its metadata, leases,
 * object WALs and slots under a prefix that only it writes, so that objects of an earlier one may still arrive; data
 * objects lie where they are:
 *
 *   meta/… slot/… …                  generation 0, as a cluster begins
 *   generation/<n>/meta/… …          generation n, made by a promotion
 *   data/…                           of all
 */
export function inGeneration(store: ObjectStore, generation: number): ObjectStore {
  if (generation === 0) return store;
  return new GenerationStore(store, `generation/${generation}/`, DATA_PREFIX);
}

/** Whether the generation is there. @throws {ObjectStoreError} */
export async function hasGeneration(store: ObjectStore, generation: number): Promise<boolean> {
  return (await inGeneration(store, generation).head(FLOOR_KEY)) !== undefined;
}

/**
 * The store as a broker of this generation may use it. A bucket that was promoted must never be opened as what it was
 * before: its log is a torn copy, and two clusters would delete each other's objects. Waits while the store is down.
 * @throws {GenerationError}
 */
export async function openGeneration(env: Env, store: ObjectStore, generation = 0): Promise<ObjectStore> {
  const next = generation + 1;
  if (await patiently(env, () => hasGeneration(store, next))) {
    throw new GenerationError(
      `this store was promoted to generation ${next}, and generation ${generation} was asked for: ` +
        `start every broker with generation ${next}`,
    );
  }
  if (generation > 0 && !(await patiently(env, () => hasGeneration(store, generation)))) {
    throw new GenerationError(
      `this store has no generation ${generation}: \`millrace promote\` makes one; a new cluster begins as generation 0`,
    );
  }
  return inGeneration(store, generation);
}

async function patiently<T>(env: Env, ask: () => Promise<T>): Promise<T> {
  for (let repeat = 0; ; repeat++) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof ObjectStoreError) || error.code !== 'UNAVAILABLE') throw error;
      if (repeat === 0) env.events.warn('generation.waiting-for-store', { reason: messageOf(error) });
    }
    await env.clock.sleep(backoffMs(repeat, BACKOFF, env.random));
  }
}
