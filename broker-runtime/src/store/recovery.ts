import { ClosedError, CorruptionError } from '../base/errors.ts';
import type { WalEntry } from '../wal/wal.ts';
import type { StoreContext } from './options.ts';
import { PartCollector, StreamUpload } from './stream-upload.ts';

/** A group read back from a WAL, of this broker or of one it takes over. Its memory must stay as it is. */
export interface RecoveredEntries {
  readonly entries: readonly WalEntry[];
}

export interface RecoveryReport {
  readonly recoveredEntries: number;
  readonly recoveredBytes: number;
  /** Committed before the crash already: the WAL had not been trimmed yet. */
  readonly droppedEntries: number;
  /** Of streams that were deleted. */
  readonly orphanedEntries: number;
}

/**
 * Brings what a WAL holds into committed objects (protocol 3.5, steps 5 and 6). Repeating it is harmless: what a
 * first, interrupted try committed is recognised by its offsets and dropped (I29). Uploads overlap, commits are in
 * order. Waits while the object store is down: a broker without its recent data must not serve.
 * @throws {CorruptionError} when offsets are missing between the objects and the WAL, or inside the WAL: acknowledged
 *   records are gone, and going on would hide it
 */
export async function recoverStreams(
  context: StoreContext,
  groups: AsyncIterable<RecoveredEntries>,
): Promise<RecoveryReport> {
  const { env, options } = context;
  const filter = new RecoveryFilter(context);
  const line = new CommitLine(context);
  let batch = new PartCollector();
  for await (const group of groups) {
    for (const entry of group.entries) {
      if (filter.takes(entry)) batch.add(entry.streamId, entry);
    }
    if (batch.sizeBytes >= options.uploadBytes || batch.entryCount >= options.uploadEntries) {
      await line.push(batch);
      batch = new PartCollector();
    }
  }
  if (batch.entryCount > 0) await line.push(batch);
  await line.drain();
  const { report } = filter;
  env.events.info('store.recovered', { ...report });
  return report;
}

/** Decides about each entry by the offsets its stream has already: lower drop, equal take, higher alarm. */
class RecoveryFilter {
  readonly #context: StoreContext;
  readonly #expected = new Map<number, number>();
  #recoveredEntries = 0;
  #recoveredBytes = 0;
  #droppedEntries = 0;
  #orphanedEntries = 0;

  constructor(context: StoreContext) {
    this.#context = context;
  }

  get report(): RecoveryReport {
    return {
      recoveredEntries: this.#recoveredEntries,
      recoveredBytes: this.#recoveredBytes,
      droppedEntries: this.#droppedEntries,
      orphanedEntries: this.#orphanedEntries,
    };
  }

  takes(entry: WalEntry): boolean {
    const { manifest } = this.#context;
    const { streamId, baseOffset, count } = entry;
    if (!manifest.hasStream(streamId)) {
      this.#orphanedEntries++;
      return false;
    }
    const expected = this.#expected.get(streamId) ?? manifest.committedOffset(streamId);
    if (baseOffset + count <= expected) {
      this.#droppedEntries++;
      return false;
    }
    if (baseOffset !== expected) {
      throw new CorruptionError(
        `stream ${streamId} is known up to offset ${expected}, and the WAL goes on with ` +
          `[${baseOffset}, ${baseOffset + count}): ` +
          (baseOffset > expected ? `[${expected}, ${baseOffset}) is lost` : 'an entry was cut in two') +
          '. The WAL is kept; do not format it',
      );
    }
    this.#expected.set(streamId, baseOffset + count);
    this.#recoveredEntries++;
    this.#recoveredBytes += entry.bytes.length;
    return true;
  }
}

/** Uploads that overlap and commit one after the other. */
class CommitLine {
  readonly #context: StoreContext;
  #line: Promise<void> = Promise.resolve();
  #inFlight: Promise<void>[] = [];

  constructor(context: StoreContext) {
    this.#context = context;
  }

  /**
   * Starts the batch; waits while `uploadsInFlight` others are under way, which is what bounds the memory: with the
   * batch being collected that is `uploadsInFlight + 1` times `uploadBytes` and a group. It needs no share of the budget,
   * because the WAL's memory, which is more, is taken only after the recovery.
   */
  async push(batch: PartCollector): Promise<void> {
    const { env, options } = this.#context;
    const upload = new StreamUpload(this.#context, batch.parts, {
      isWanted: () => true,
      onTrouble: (reason) => env.events.warn('store.recovery-trouble', { reason }),
    });
    const stored = upload.store();
    const before = this.#line;
    const committed = (async () => {
      const [isStored] = await Promise.all([stored, before]);
      if (!isStored || !(await upload.commit())) throw new ClosedError('the recovery was given up');
    })();
    this.#line = committed;
    // Awaited below or in drain; a failure before that must not count as unhandled.
    committed.catch(() => undefined);
    this.#inFlight.push(committed);
    if (this.#inFlight.length >= options.uploadsInFlight) await this.#inFlight.shift();
  }

  async drain(): Promise<void> {
    await Promise.all(this.#inFlight);
  }
}
