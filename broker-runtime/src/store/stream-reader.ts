import { CorruptionError, invariant } from '../base/errors.ts';
import { ObjectStoreError } from '../ports/object-store.ts';
import type { BlockCache, ReadPurpose } from './block-cache.ts';
import type { BlockRef } from './object-format/layout.ts';
import type { ObjectIndex } from './object-format/object-index.ts';
import type { StoreContext } from './options.ts';
import { ReadAhead } from './read-ahead.ts';
import { SliceBuilder } from './slice.ts';
import { OffsetOutOfRangeError, StreamReadError } from './stream.ts';
import type { StreamRange, StreamSlice } from './stream.ts';
import type { TailCache } from './tail-cache.ts';

/** Objects one read may span: bounds the index requests when a stream lies in thousands of small pieces. */
const RANGES_PER_READ = 16;

/** The ranges a read saw may be replaced under it, by compaction or trim, this often before it gives up. */
const MOVED_LIMIT = 5;

/** Blocks of one object that a read needs. */
interface Want {
  readonly range: StreamRange;
  readonly refs: readonly BlockRef[];
}

interface Plan {
  readonly wants: readonly Want[];
  /** Everything stored in [the planned offset, here) is in `wants`. */
  readonly coveredUntil: number;
}

export interface ReadRequest {
  readonly streamId: number;
  readonly fromOffset: number;
  /** Exclusive bound: durable offset, or less. */
  readonly untilOffset: number;
  readonly maxBytes: number;
  readonly purpose: ReadPurpose | undefined;
}

/** The ranges a read was planned with are not the stream's any more: plan again. */
class RangesMoved extends Error {}

/** Reads that the tail cache alone cannot answer: committed ranges → blocks → slice, with read-ahead. */
export class StreamReader {
  readonly #context: StoreContext;
  readonly #cache: BlockCache;
  readonly #tail: TailCache;
  readonly #readAhead: ReadAhead;

  constructor(context: StoreContext, cache: BlockCache, tail: TailCache) {
    this.#context = context;
    this.#cache = cache;
    this.#tail = tail;
    this.#readAhead = new ReadAhead(context.options);
  }

  /** Errors and result as `Stream.read`; an empty slice says that nothing is stored before its `nextOffset`. */
  read(request: ReadRequest): Promise<StreamSlice> {
    const { env, options } = this.#context;
    return new Promise((resolve, reject) => {
      let isLate = false;
      const timer = env.clock.timer(options.readDeadlineMs, () => {
        isLate = true;
        reject(
          new StreamReadError(
            `stream ${request.streamId} could not be read at ${request.fromOffset} within ${options.readDeadlineMs} ms`,
          ),
        );
      });
      this.#readMoving(request).then(
        (slice) => {
          timer.cancel();
          if (isLate) slice.release();
          else resolve(slice);
        },
        (error: unknown) => {
          timer.cancel();
          reject(asReadError(error));
        },
      );
    });
  }

  async #readMoving(request: ReadRequest): Promise<StreamSlice> {
    for (let moved = 0; moved < MOVED_LIMIT; moved++) {
      const startOffset = this.#context.manifest.startOffset(request.streamId);
      if (request.fromOffset < startOffset) {
        throw new OffsetOutOfRangeError(
          `stream ${request.streamId} begins at ${startOffset} now, ${request.fromOffset} was asked for`,
        );
      }
      const builder = new SliceBuilder(request.fromOffset, request.untilOffset, request.maxBytes);
      try {
        await this.#fill(builder, request);
        return builder.finish();
      } catch (error) {
        builder.abandon();
        if (!(error instanceof RangesMoved)) throw error;
      }
    }
    throw new StreamReadError(
      `the ranges of stream ${request.streamId} changed ${MOVED_LIMIT} times during one read; try again`,
    );
  }

  async #fill(builder: SliceBuilder, request: ReadRequest): Promise<void> {
    const { streamId, fromOffset, untilOffset } = request;
    const { manifest } = this.#context;
    const purpose = request.purpose ?? this.#purposeAt(streamId, fromOffset);
    while (!builder.hasEntries() && builder.nextOffset < untilOffset) {
      const committedOffset = manifest.committedOffset(streamId);
      if (builder.nextOffset >= committedOffset) {
        if (!this.#tail.read(streamId, builder)) throw new RangesMoved();
        return;
      }
      const soughtOffset = builder.nextOffset;
      const plan = await this.#plan(streamId, builder.nextOffset, untilOffset, request.maxBytes, purpose);
      const hasAll = await this.#addBlocks(builder, streamId, plan.wants, purpose);
      if (!builder.hasEntries()) builder.skipTo(Math.min(plan.coveredUntil, untilOffset));
      // Where the objects end the cache goes on, unless a commit moved that place meanwhile.
      if (hasAll && plan.coveredUntil >= committedOffset && this.#tail.has(streamId, committedOffset)) {
        builder.skipTo(Math.min(committedOffset, untilOffset));
        this.#tail.read(streamId, builder);
      }
      invariant(builder.nextOffset > soughtOffset, 'I5', 'a round of a read moves on', {
        streamId,
        soughtOffset,
      });
    }
    this.#fetchAhead(request, builder.nextOffset, purpose);
  }

  /** False: the slice is full, or memory for more was not to be had. */
  async #addBlocks(
    builder: SliceBuilder,
    streamId: number,
    wants: readonly Want[],
    purpose: ReadPurpose,
  ): Promise<boolean> {
    // All requests start now; then the blocks are taken in order.
    for (const want of wants.slice(1)) this.#cache.prefetch(want.range.objectId, want.refs, purpose);
    for (const { range, refs } of wants) {
      const pinned = await this.#orMoved(streamId, range, () =>
        this.#cache.acquire(range.objectId, refs, purpose, !builder.hasEntries()),
      );
      let isOpen = true;
      for (const { block, pin } of pinned) {
        if (isOpen) isOpen = builder.addBlock(block, pin);
        else pin.release();
      }
      if (!isOpen || pinned.length < refs.length) return false;
    }
    return true;
  }

  /** Which blocks hold the offsets from `fromOffset` on, as far as `maxBytes` and the limit of ranges go. */
  async #plan(
    streamId: number,
    fromOffset: number,
    untilOffset: number,
    maxBytes: number,
    purpose: ReadPurpose,
  ): Promise<Plan> {
    const ranges = this.#rangesFrom(streamId, fromOffset, untilOffset, maxBytes);
    const indexes = await Promise.all(
      ranges.map((range) => this.#orMoved(streamId, range, async () => this.#index(range, purpose))),
    );
    const wants: Want[] = [];
    let plannedBytes = 0;
    let coveredUntil = fromOffset;
    for (const [n, range] of ranges.entries()) {
      const blocks =
        indexes[n]?.blocksOf(streamId, Math.max(fromOffset, range.startOffset), untilOffset) ?? [];
      const refs: BlockRef[] = [];
      for (const block of blocks) {
        const isFirst = wants.length === 0 && refs.length === 0;
        if (!isFirst && plannedBytes >= maxBytes)
          return { wants: withWant(wants, range, refs), coveredUntil };
        // The first block may be used from its last entry on only: it counts for nothing.
        if (!isFirst) plannedBytes += block.length;
        refs.push(block);
        coveredUntil = block.endOffset;
      }
      coveredUntil = range.endOffset;
      if (refs.length > 0) wants.push({ range, refs });
    }
    return { wants, coveredUntil };
  }

  /** Ranges from the one that contains `fromOffset` on. */
  #rangesFrom(streamId: number, fromOffset: number, untilOffset: number, maxBytes: number): StreamRange[] {
    const { manifest } = this.#context;
    const taken: StreamRange[] = [];
    let bytes = 0;
    let range = manifest.rangeAt(streamId, fromOffset);
    while (range !== undefined && range.startOffset < untilOffset) {
      if (taken.length >= RANGES_PER_READ || (taken.length > 0 && bytes >= maxBytes)) break;
      taken.push(range);
      const { startOffset, endOffset, sizeBytes } = range;
      // A guess for the first, of which only the end may be wanted: the bytes are spread evenly.
      const share = (endOffset - Math.max(fromOffset, startOffset)) / (endOffset - startOffset);
      bytes += sizeBytes * share;
      range = manifest.rangeAt(streamId, range.endOffset);
    }
    return taken;
  }

  #index(range: StreamRange, purpose: ReadPurpose): ObjectIndex | Promise<ObjectIndex> {
    const object = this.#context.manifest.object(range.objectId);
    if (object === undefined) throw new RangesMoved();
    return this.#cache.index(range.objectId, object.sizeBytes, purpose);
  }

  /** Protocol 3.7: a 404 of a named object is a race with garbage collection, or else the worst of news. */
  async #orMoved<T>(streamId: number, range: StreamRange, read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof ObjectStoreError) || error.code !== 'NOT_FOUND') throw error;
      const { manifest, env } = this.#context;
      const { objectId, startOffset } = range;
      const isNamed =
        manifest.hasStream(streamId) && manifest.rangeAt(streamId, startOffset)?.objectId === objectId;
      if (!isNamed) throw new RangesMoved();
      env.events.error('store.object-missing', { streamId, objectId });
      throw new CorruptionError(
        `object ${objectId} holds data of stream ${streamId} and is not in the object store: restore the bucket`,
        { cause: error },
      );
    }
  }

  /** A stream's newest object is where consumers are that fell a little behind the cache. */
  #purposeAt(streamId: number, offset: number): ReadPurpose {
    const { manifest } = this.#context;
    const newest = manifest.rangeAt(streamId, manifest.committedOffset(streamId) - 1);
    return newest === undefined || offset >= newest.startOffset ? 'tail' : 'history';
  }

  /** Keeps a sequential reader's window filled; starts when less than half of it is left, so that GETs stay large. */
  #fetchAhead(
    { streamId, fromOffset, untilOffset }: ReadRequest,
    nextOffset: number,
    purpose: ReadPurpose,
  ): void {
    const windowBytes = this.#readAhead.moved(streamId, fromOffset, nextOffset);
    if (windowBytes === 0 || nextOffset >= this.#context.manifest.committedOffset(streamId)) return;
    this.#plan(streamId, nextOffset, untilOffset, windowBytes, purpose).then(
      ({ wants }) => this.#prefetch(wants, windowBytes, purpose),
      (error: unknown) => {
        // The reader that comes here meets the error itself; this was only preparation.
        this.#context.env.events.debug('store.read-ahead-failed', { streamId, reason: String(error) });
      },
    );
  }

  #prefetch(wants: readonly Want[], windowBytes: number, purpose: ReadPurpose): void {
    let presentBytes = 0;
    for (const { range, refs } of wants) {
      const bytes = this.#cache.presentBytes(range.objectId, refs);
      presentBytes += bytes;
      if (bytes < sumOf(refs)) break;
    }
    if (presentBytes * 2 >= windowBytes) return;
    for (const { range, refs } of wants) {
      if (this.#cache.prefetch(range.objectId, refs, purpose) < sumOf(refs)) return;
    }
  }
}

function withWant(wants: readonly Want[], range: StreamRange, refs: readonly BlockRef[]): readonly Want[] {
  return refs.length > 0 ? [...wants, { range, refs }] : wants;
}

function sumOf(refs: readonly BlockRef[]): number {
  return refs.reduce((sum, ref) => sum + ref.length, 0);
}

function asReadError(error: unknown): Error {
  if (error instanceof ObjectStoreError) {
    return new StreamReadError(`the object store refused a read: ${error.message}`, { cause: error });
  }
  return error instanceof Error ? error : new Error(String(error));
}
