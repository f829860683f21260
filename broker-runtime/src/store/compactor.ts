import { messageOf } from '../base/errors.ts';
import { ObjectStoreError } from '../ports/object-store.ts';
import { nextTurn } from './backoff.ts';
import { planCompaction } from './compaction-plan.ts';
import type { BlockRef } from './object-format/layout.ts';
import type { ObjectReader } from './object-reader.ts';
import type { StoreContext } from './options.ts';
import { RangesChangedError } from './range-rewriter.ts';
import type { RangeRewriter } from './range-rewriter.ts';
import { StreamReadError } from './stream.ts';
import type { StreamEntry, StreamRange } from './stream.ts';

/** Streams looked at before the sockets get a turn. */
const STREAMS_PER_TURN = 100;

/**
 * Background merging: many small ranges of a stream, most of them in objects shared with other streams, become one
 * object of its own. A shared object dies when the last of its streams moved out. Runs at a bounded rate, in the
 * memory of the rewriter, past the block cache (what it reads once is of no use to readers).
 */
export class Compactor {
  readonly #context: StoreContext;
  readonly #reader: ObjectReader;
  readonly #rewriter: RangeRewriter;
  #isRunning = false;
  #isClosed = false;

  constructor(context: StoreContext, reader: ObjectReader, rewriter: RangeRewriter) {
    this.#context = context;
    this.#reader = reader;
    this.#rewriter = rewriter;
  }

  close(): void {
    this.#isClosed = true;
  }

  /** One round over all streams that are ours. Returns how many merges were committed; 0 at once when a round is under way. */
  async run(): Promise<number> {
    if (this.#isRunning) return 0;
    this.#isRunning = true;
    try {
      return await this.#round();
    } finally {
      this.#isRunning = false;
    }
  }

  async #round(): Promise<number> {
    const { env, manifest, duties } = this.#context;
    let merged = 0;
    let looked = 0;
    for (const streamId of [...manifest.streamIds()]) {
      looked++;
      if (looked % STREAMS_PER_TURN === 0) await nextTurn(env);
      if (!duties.compacts(streamId)) continue;
      // A stream may have several runs to merge; each merge makes the plan anew.
      while (!this.#isClosed && (await this.#mergeOnce(streamId))) merged++;
    }
    return merged;
  }

  async #mergeOnce(streamId: number): Promise<boolean> {
    const { env, manifest, options } = this.#context;
    if (!manifest.hasStream(streamId) || this.#rewriter.isBusy(streamId)) return false;
    if (planCompaction(manifest.ranges(streamId), options).length === 0) return false;
    try {
      const result = await this.#rewriter.rewrite(streamId, () => {
        const ranges = manifest.hasStream(streamId) ? planCompaction(manifest.ranges(streamId), options) : [];
        if (ranges.length === 0)
          throw new RangesChangedError(`stream ${streamId} needs no compaction any more`);
        return { streamId, ranges, entries: this.#entriesOf(streamId, ranges), memory: 'stable' };
      });
      env.events.debug('store.compacted', { streamId, sizeBytes: result.sizeBytes });
      await env.clock.sleep((result.sizeBytes / options.compactionBytesPerSecond) * 1000);
      return true;
    } catch (error) {
      // Lost a race, or the store is down: the next round plans anew. Anything else is a fault to be seen.
      if (
        !(error instanceof RangesChangedError) &&
        !(error instanceof StreamReadError) &&
        !(error instanceof ObjectStoreError && error.code === 'NOT_FOUND')
      ) {
        env.events.error('store.compaction-failed', { streamId, reason: messageOf(error) });
      }
      return false;
    }
  }

  /** All entries of the ranges: the stream's blocks in an object are adjacent, so it is about one GET per range. */
  async *#entriesOf(streamId: number, ranges: readonly StreamRange[]): AsyncGenerator<StreamEntry> {
    for (const { objectId, startOffset, endOffset } of ranges) {
      const object = this.#context.manifest.object(objectId);
      if (object === undefined) throw new RangesChangedError(`object ${objectId} is gone`);
      const index = await this.#reader.index(objectId, object.sizeBytes);
      const refs = index.blocksOf(streamId, startOffset, endOffset);
      for (const run of batches(refs, this.#context.options.getBytes)) {
        for (const block of await this.#reader.blocks(objectId, run)) {
          for (let n = 0; n < block.entryCount; n++) yield block.entry(n);
        }
      }
    }
  }
}

/** Adjacent blocks up to the size of one GET. */
function batches(refs: readonly BlockRef[], getBytes: number): BlockRef[][] {
  const runs: BlockRef[][] = [];
  let bytes = 0;
  for (const ref of refs) {
    const last = runs.at(-1);
    if (last === undefined || bytes + ref.length > getBytes) {
      runs.push([ref]);
      bytes = ref.length;
    } else {
      last.push(ref);
      bytes += ref.length;
    }
  }
  return runs;
}
