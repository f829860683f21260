import { invariant, messageOf } from '../base/errors.ts';
import { ObjectStoreError } from '../ports/object-store.ts';
import { backOff } from './backoff.ts';
import { objectKey } from './object-key.ts';
import type { ObjectBody } from './object-format/object-writer.ts';
import type { StoreContext } from './options.ts';

/** A read-back that differs may be damaged on its way: so many must differ before the object counts as foreign. */
const DIFFERENT_ANSWERS = 4;

/** How a put ended: stored, or given up because the id expired or the store closes. */
export type PutResult = 'stored' | 'abandoned';

export interface PutWatcher {
  /** False: stop repeating. Asked before every attempt. */
  readonly isWanted: () => boolean;
  /** Told before a pause. */
  readonly onTrouble: (reason: string) => void;
}

/**
 * Stores one object under the table of protocol 3.7: put-if-absent, and on any answer that is not sure the same
 * bytes at the same key again, for as long as `isWanted`. "The key is taken" after an unsure answer is our own
 * earlier success when the occupant has our index, which holds the checksum of every block.
 * An abandoned put may still land: its id is never used again, and a scrub finds it.
 * @throws {ObjectStoreError} DENIED
 * @throws {InvariantViolation} when somebody else's object stands at our key
 */
export async function putObject(
  context: StoreContext,
  objectId: number,
  body: ObjectBody,
  watcher: PutWatcher,
): Promise<PutResult> {
  const key = objectKey(objectId);
  let different = 0;
  for (let repeat = 0; watcher.isWanted(); repeat++) {
    const answer = await context.objects.put(key, body.pieces, { kind: 'absent' });
    let trouble: string;
    if (answer.outcome === 'committed') return 'stored';
    if (answer.outcome === 'rejected') {
      const verdict = await readBack(context, key, body);
      if (verdict === 'ours') return 'stored';
      if (verdict === 'different') different++;
      invariant(different < DIFFERENT_ANSWERS, 'I23', 'the key of a prepared object holds other bytes', {
        key,
      });
      trouble = `the key is taken; read back: ${verdict}`;
    } else {
      trouble = answer.outcome === 'conflict' ? 'conflict' : `unknown outcome: ${messageOf(answer.cause)}`;
    }
    watcher.onTrouble(`put ${key}: ${trouble}`);
    await backOff(context.env, context.options, repeat);
  }
  return 'abandoned';
}

/** Compares the occupant's index with ours; any other text says why that could not be done now. */
async function readBack(context: StoreContext, key: string, body: ObjectBody): Promise<string> {
  try {
    const length = body.suffix.length;
    const found = await context.objects.get(key, { start: body.sizeBytes - length, length });
    const isOurs = found.sizeBytes === body.sizeBytes && areEqual(found.body, body.suffix);
    return isOurs ? 'ours' : 'different';
  } catch (error) {
    if (!(error instanceof ObjectStoreError) || error.code === 'DENIED') throw error;
    return error.code === 'INVALID_RANGE' ? 'different' : error.message;
  }
}

function areEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
