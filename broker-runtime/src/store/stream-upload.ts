import { CorruptionError, invariant } from '../base/errors.ts';
import { nextTurn, whenNotBusy } from './backoff.ts';
import { ManifestConflictError } from './manifest.ts';
import type { CommittedObject, CommittedRange } from './manifest.ts';
import { ObjectWriter } from './object-format/object-writer.ts';
import type { ObjectBody } from './object-format/object-writer.ts';
import { putObject } from './object-put.ts';
import type { StoreContext } from './options.ts';
import type { StreamEntry } from './stream.ts';

/** Checksums run at several GB/s: after this much the sockets get a turn. */
const BYTES_PER_TURN = 2 * 1024 * 1024;

/** The entries of one stream, in offset order. */
export interface StreamPart {
  readonly streamId: number;
  readonly entries: readonly StreamEntry[];
  readonly sizeBytes: number;
}

export interface UploadWatcher {
  /** False: the store failed or closed, stop repeating. */
  readonly isWanted: () => boolean;
  readonly onTrouble: (reason: string) => void;
}

/** An object in the making: what it shall hold, and under which id it is stored. */
interface StoredPart {
  readonly parts: readonly StreamPart[];
  readonly objectId: number;
  readonly sizeBytes: number;
  readonly footerCrc32c: number;
}

/**
 * The way of one set of entries into the manifest: prepare ids → PUT → commit (protocol 3.8). `store` may run in
 * parallel with that of other sets; `commit` must be called in the order of the offsets.
 */
export class StreamUpload {
  readonly #context: StoreContext;
  readonly #watcher: UploadWatcher;
  readonly #objects: readonly (readonly StreamPart[])[];
  #stored: readonly StoredPart[] = [];
  uploadedBytes = 0;

  constructor(context: StoreContext, parts: readonly StreamPart[], watcher: UploadWatcher) {
    this.#context = context;
    this.#watcher = watcher;
    this.#objects = divide(parts, context.options.ownObjectBytes);
  }

  get objectCount(): number {
    return this.#stored.length;
  }

  /** Puts the bytes into the object store. Returns false when it was not wanted any more. */
  async store(): Promise<boolean> {
    for (;;) {
      const objects = this.#objects.map((parts) => parts.filter((part) => this.#exists(part.streamId)));
      const result = await this.#storeOnce(objects.filter((parts) => parts.length > 0));
      if (result !== 'expired') return result === 'stored';
      this.#watcher.onTrouble(
        'the prepared ids expired before the upload succeeded; uploading under new ones',
      );
    }
  }

  /**
   * Makes the stored objects part of their streams. Deleted streams are left out; ids that expired between store
   * and commit are replaced by another upload. Returns false when it was not wanted any more.
   * @throws whatever the manifest throws: the journal is lost, or the ranges do not fit (I5)
   */
  async commit(): Promise<boolean> {
    for (;;) {
      const objects = this.#stored
        .map((stored) => this.#committed(stored))
        .filter((o) => o.ranges.length > 0);
      try {
        const { env, options, manifest } = this.#context;
        // Also when nothing is left: the deletion of the streams may not be committed yet, and until it is their
        // records must not leave the WAL. The journal answers after every entry before this decision.
        await whenNotBusy(env, options, () => manifest.commitObjects(objects));
        return true;
      } catch (error) {
        if (!(error instanceof ManifestConflictError) || !this.#isExpired(objects)) throw error;
        if (!(await this.store())) return false;
      }
    }
  }

  async #storeOnce(objects: readonly (readonly StreamPart[])[]): Promise<'stored' | 'expired' | 'unwanted'> {
    if (objects.length === 0) {
      this.#stored = [];
      return 'stored';
    }
    const { env, manifest, options } = this.#context;
    const deadlineWallMs = env.clock.wallMs() + options.prepareTtlMs;
    const objectIds = await whenNotBusy(env, options, () =>
      manifest.prepareObjects(objects.length, deadlineWallMs),
    );
    const isWanted = (): boolean => this.#watcher.isWanted() && env.clock.wallMs() < deadlineWallMs;
    const stored = await Promise.all(
      objects.map(async (parts, n): Promise<StoredPart | undefined> => {
        const objectId = objectIds[n];
        invariant(objectId !== undefined, 'I23', 'the manifest prepared too few ids', { n });
        const body = await layOut(this.#context, objectId, parts);
        const watcher = { isWanted, onTrouble: this.#watcher.onTrouble };
        const result = await putObject(this.#context, objectId, body, watcher);
        const { sizeBytes, footerCrc32c } = body;
        return result === 'stored' ? { parts, objectId, sizeBytes, footerCrc32c } : undefined;
      }),
    );
    if (!this.#watcher.isWanted()) return 'unwanted';
    const complete = stored.filter((part) => part !== undefined);
    if (complete.length < stored.length) return 'expired';
    this.#stored = complete;
    this.uploadedBytes = complete.reduce((sum, part) => sum + part.sizeBytes, 0);
    return 'stored';
  }

  #exists(streamId: number): boolean {
    return this.#context.manifest.hasStream(streamId);
  }

  #isExpired(objects: readonly CommittedObject[]): boolean {
    return objects.some(({ objectId }) => {
      const state = this.#context.manifest.object(objectId)?.state;
      return state === undefined || state === 'destroyed';
    });
  }

  #committed({ parts, objectId, sizeBytes, footerCrc32c }: StoredPart): CommittedObject {
    const ranges = parts.filter((part) => this.#exists(part.streamId)).map(rangeOf);
    return { objectId, sizeBytes, footerCrc32c, ranges };
  }
}

/** A stream with enough bytes has an object of its own; the others share one. All sorted by stream. */
function divide(parts: readonly StreamPart[], ownObjectBytes: number): (readonly StreamPart[])[] {
  const sorted = parts.toSorted((a, b) => a.streamId - b.streamId);
  const shared = sorted.filter((part) => part.sizeBytes < ownObjectBytes);
  const own = sorted.filter((part) => part.sizeBytes >= ownObjectBytes).map((part) => [part]);
  return shared.length > 0 ? [shared, ...own] : own;
}

/** Builds the body, with pauses for the sockets. */
export async function layOut(
  context: StoreContext,
  objectId: number,
  parts: readonly StreamPart[],
): Promise<ObjectBody> {
  const { env, writer: by, options } = context;
  const writer = new ObjectWriter(
    {
      clusterId: by.clusterId,
      objectId,
      writerNodeId: by.nodeId,
      writerEpoch: by.nodeEpoch,
      createdAtWallMs: env.clock.wallMs(),
    },
    options.blockBytes,
  );
  let sinceTurnBytes = 0;
  for (const part of parts) {
    for (const entry of part.entries) {
      writer.add(part.streamId, entry);
      sinceTurnBytes += entry.bytes.length;
      if (sinceTurnBytes >= BYTES_PER_TURN) {
        sinceTurnBytes = 0;
        await nextTurn(env);
      }
    }
  }
  return writer.finish();
}

function rangeOf(part: StreamPart): CommittedRange {
  const first = part.entries[0];
  const last = part.entries.at(-1);
  if (first === undefined || last === undefined) {
    throw new CorruptionError(`a part of stream ${part.streamId} without entries was uploaded`);
  }
  return {
    streamId: part.streamId,
    startOffset: first.baseOffset,
    endOffset: last.baseOffset + last.count,
    sizeBytes: part.sizeBytes,
    maxTimestampMs: maxTimestampMs(part.entries),
  };
}

export function maxTimestampMs(entries: readonly StreamEntry[]): number {
  return entries.reduce((max, entry) => Math.max(max, entry.maxTimestampMs), -1);
}

/** Collects entries by stream, keeping their order. */
export class PartCollector {
  readonly #parts = new Map<number, { streamId: number; entries: StreamEntry[]; sizeBytes: number }>();
  sizeBytes = 0;
  entryCount = 0;

  add(streamId: number, entry: StreamEntry): void {
    let part = this.#parts.get(streamId);
    if (part === undefined) {
      part = { streamId, entries: [], sizeBytes: 0 };
      this.#parts.set(streamId, part);
    }
    part.entries.push(entry);
    part.sizeBytes += entry.bytes.length;
    this.sizeBytes += entry.bytes.length;
    this.entryCount++;
  }

  get parts(): readonly StreamPart[] {
    return [...this.#parts.values()];
  }
}
