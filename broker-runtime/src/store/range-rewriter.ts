import { invariant, MillraceError } from '../base/errors.ts';
import type { MemoryShare } from '../base/memory-budget.ts';
import { whenNotBusy } from './backoff.ts';
import { ManifestConflictError } from './manifest.ts';
import type { CommittedObject, StreamRangeRef } from './manifest.ts';
import { putObject } from './object-put.ts';
import type { StoreContext } from './options.ts';
import { layOut, maxTimestampMs } from './stream-upload.ts';
import type { StreamEntry, StreamRange } from './stream.ts';

/** The ranges that were to be replaced changed meanwhile, by trim, delete or another rewrite. Nothing was changed. */
export class RangesChangedError extends MillraceError {
  readonly code = 'RANGES_CHANGED';
}

export interface Rewrite {
  readonly streamId: number;
  /** What is replaced: adjacent ranges of the stream, at least one. */
  readonly ranges: readonly StreamRange[];
  /** Inside the ranges, ascending, gaps allowed. */
  readonly entries: AsyncIterable<StreamEntry>;
  /** `borrowed`: an entry's bytes may change once the next is asked for, so they are copied. */
  readonly memory: 'borrowed' | 'stable';
}

export interface RewriteResult {
  readonly objectCount: number;
  readonly sizeBytes: number;
}

/**
 * Writes entries as new objects of one stream and swaps them for ranges it has, in one commit. Streams through
 * bounded memory: an object is put as soon as it has `compactionObjectBytes`. Who loses a race against trim, delete
 * or another rewrite leaves prepared objects behind, which expire.
 */
export class RangeRewriter {
  readonly #context: StoreContext;
  readonly #share: MemoryShare;
  /** Rewrites of one stream come one after the other: two at once could only spoil each other. */
  readonly #lines = new Map<number, Promise<unknown>>();
  #isClosed = false;

  constructor(context: StoreContext) {
    const { memory, options } = context;
    this.#context = context;
    this.#share = memory.share('store.rewrites', options.rewritesInFlight * options.compactionObjectBytes);
  }

  /** True while a rewrite of the stream runs or waits. */
  isBusy(streamId: number): boolean {
    return this.#lines.has(streamId);
  }

  /** Puts under way are not repeated any more; what they prepared expires. */
  close(): void {
    this.#isClosed = true;
  }

  /**
   * `prepare` runs when no other rewrite of the stream does.
   * @throws {RangesChangedError} (rejects)
   */
  rewrite(streamId: number, prepare: () => Rewrite): Promise<RewriteResult> {
    const before = this.#lines.get(streamId) ?? Promise.resolve();
    const result = before.then(() => this.#reserved(prepare()));
    const line = result
      .catch(() => undefined)
      .then(() => {
        if (this.#lines.get(streamId) === line) this.#lines.delete(streamId);
      });
    this.#lines.set(streamId, line);
    return result;
  }

  async #reserved(rewrite: Rewrite): Promise<RewriteResult> {
    const bytes = this.#context.options.compactionObjectBytes;
    await this.#share.take(bytes);
    try {
      return await this.#write(rewrite);
    } finally {
      this.#share.release(bytes);
    }
  }

  async #write(rewrite: Rewrite): Promise<RewriteResult> {
    const { options } = this.#context;
    const startOffset = rewrite.ranges[0]?.startOffset;
    const endOffset = rewrite.ranges.at(-1)?.endOffset;
    invariant(startOffset !== undefined && endOffset !== undefined, 'I5', 'a rewrite replaces a range');
    const objects: CommittedObject[] = [];
    let open: StreamEntry[] = [];
    let openBytes = 0;
    let objectStart = startOffset;
    let nextOffset = startOffset;
    for await (const entry of rewrite.entries) {
      const end = entry.baseOffset + entry.count;
      invariant(
        entry.baseOffset >= nextOffset && end <= endOffset,
        'I3',
        'a replacement lies inside its range',
        {
          streamId: rewrite.streamId,
          baseOffset: entry.baseOffset,
          nextOffset,
          endOffset,
        },
      );
      if (open.length > 0 && openBytes + entry.bytes.length > options.compactionObjectBytes) {
        objects.push(await this.#store(rewrite.streamId, open, openBytes, objectStart, entry.baseOffset));
        objectStart = entry.baseOffset;
        open = [];
        openBytes = 0;
      }
      const bytes = rewrite.memory === 'stable' ? entry.bytes : entry.bytes.slice();
      // Who made other bytes of an entry may have kept the checksum of the old ones: here it is always taken anew.
      open.push({ ...entry, bytes, crc32c: undefined });
      openBytes += entry.bytes.length;
      nextOffset = end;
    }
    objects.push(await this.#store(rewrite.streamId, open, openBytes, objectStart, endOffset));
    await this.#swap(rewrite, objects);
    return { objectCount: objects.length, sizeBytes: objects.reduce((sum, o) => sum + o.sizeBytes, 0) };
  }

  async #store(
    streamId: number,
    entries: readonly StreamEntry[],
    sizeBytes: number,
    startOffset: number,
    endOffset: number,
  ): Promise<CommittedObject> {
    const { env, manifest, options } = this.#context;
    const deadlineWallMs = env.clock.wallMs() + options.rewriteTtlMs;
    const [objectId] = await whenNotBusy(env, options, () => manifest.prepareObjects(1, deadlineWallMs));
    invariant(objectId !== undefined, 'I23', 'the manifest prepared no id');
    const body = await layOut(this.#context, objectId, [{ streamId, entries, sizeBytes }]);
    const result = await putObject(this.#context, objectId, body, {
      isWanted: () => !this.#isClosed && manifest.hasStream(streamId) && env.clock.wallMs() < deadlineWallMs,
      onTrouble: (reason) => env.events.debug('store.rewrite-trouble', { streamId, reason }),
    });
    if (result === 'abandoned') {
      throw new RangesChangedError(
        `the rewrite of stream ${streamId} was given up: deleted, closed or expired`,
      );
    }
    const range = { streamId, startOffset, endOffset, sizeBytes, maxTimestampMs: maxTimestampMs(entries) };
    return { objectId, sizeBytes: body.sizeBytes, footerCrc32c: body.footerCrc32c, ranges: [range] };
  }

  async #swap({ streamId, ranges }: Rewrite, objects: readonly CommittedObject[]): Promise<void> {
    const { env, manifest, options } = this.#context;
    const replaced: StreamRangeRef[] = ranges.map(({ startOffset, endOffset, objectId }) => ({
      streamId,
      startOffset,
      endOffset,
      objectId,
    }));
    try {
      await whenNotBusy(env, options, () => manifest.replaceRanges(objects, replaced));
    } catch (error) {
      if (!(error instanceof ManifestConflictError)) throw error;
      throw new RangesChangedError(`the ranges of stream ${streamId} changed while they were rewritten`, {
        cause: error,
      });
    }
  }
}
