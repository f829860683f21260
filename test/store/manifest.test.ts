import { beforeEach, describe, expect, test } from '@jest/globals';
import { ManifestImage } from '../../broker-runtime/src/store/manifest-image.ts';
import { ManifestConflictError } from '../../broker-runtime/src/store/manifest.ts';
import type { CommittedObject } from '../../broker-runtime/src/store/manifest.ts';
import { UnknownStreamError } from '../../broker-runtime/src/store/stream.ts';
import { ConditionalJournal } from '../../broker-runtime/src/wal/conditional-journal.ts';
import { MemoryObjectStore, SimBucket } from '../simulation/world/memory-object-store.ts';
import { simEnv } from '../simulation/world/sim-env.ts';
import { LocalManifest } from './local-manifest.ts';

const env = simEnv(1);
let bucket: SimBucket;
let store: MemoryObjectStore;
let image: ManifestImage;
let manifest: LocalManifest;
let journal: ConditionalJournal;

async function open(): Promise<void> {
  store = new MemoryObjectStore(env.clock, bucket);
  image = new ManifestImage();
  journal = await ConditionalJournal.open(env, store, [image], { writer: 'test' });
  manifest = new LocalManifest(env, journal, image);
}

beforeEach(async () => {
  bucket = new SimBucket();
  await open();
});

const createStreams = (count: number): Promise<readonly number[]> => manifest.createStreams(count);
const deleteStreams = (...streamIds: number[]): Promise<void> => manifest.deleteStreams(streamIds);

async function prepare(deadlineWallMs = env.clock.wallMs() + 60_000): Promise<number> {
  const [objectId] = await manifest.prepareObjects(1, deadlineWallMs);
  return objectId ?? 0;
}

/** An object with the given [stream, start, end] ranges, ten bytes an offset. */
function holding(objectId: number, ...ranges: [number, number, number][]): CommittedObject {
  return {
    objectId,
    sizeBytes: 1000,
    footerCrc32c: 77,
    ranges: ranges.map(([streamId, startOffset, endOffset]) => ({
      streamId,
      startOffset,
      endOffset,
      sizeBytes: (endOffset - startOffset) * 10,
      maxTimestampMs: 1_700_000_000_000 + endOffset,
    })),
  };
}

async function commitRange(streamId: number, startOffset: number, endOffset: number): Promise<number> {
  const objectId = await prepare();
  await manifest.commitObjects([holding(objectId, [streamId, startOffset, endOffset])]);
  return objectId;
}

const offsets = (streamId: number): number[][] =>
  manifest.ranges(streamId).map((range) => [range.startOffset, range.endOffset]);

describe('streams', () => {
  test('begin empty at zero, with ids that are never given out twice', async () => {
    expect(await createStreams(3)).toEqual([1, 2, 3]);
    await deleteStreams(2);
    expect(await createStreams(1)).toEqual([4]);
    expect([...manifest.streamIds()]).toEqual([1, 3, 4]);
    expect([manifest.startOffset(4), manifest.committedOffset(4), manifest.ranges(4)]).toEqual([0, 0, []]);
    expect(() => manifest.ranges(2)).toThrow(UnknownStreamError);
  });

  test('grow by committed objects and remember what a scrub needs (I23)', async () => {
    const [a = 0, b = 0] = await createStreams(2);
    const objectId = await prepare();
    await manifest.commitObjects([holding(objectId, [a, 0, 10], [b, 0, 5])]);
    expect(manifest.committedOffset(a)).toBe(10);
    expect(manifest.ranges(b)).toEqual([
      { startOffset: 0, endOffset: 5, sizeBytes: 50, maxTimestampMs: 1_700_000_000_005, objectId },
    ]);
    expect(manifest.object(objectId)).toEqual({
      objectId,
      state: 'committed',
      sizeBytes: 1000,
      atWallMs: 0,
      footerCrc32c: 77,
    });
  });

  test('survive a restart', async () => {
    const [a = 0] = await createStreams(1);
    await commitRange(a, 0, 10);
    await commitRange(a, 10, 20);
    await manifest.trimStream(a, 12);
    await journal.close();
    await open();
    expect(offsets(a)).toEqual([[10, 20]]);
    expect(manifest.startOffset(a)).toBe(12);
  });
});

describe('rangeAt', () => {
  test('finds the range of an offset, else the first after it', async () => {
    const [a = 0] = await createStreams(1);
    for (let start = 0; start < 100; start += 10) await commitRange(a, start, start + 10);
    expect(manifest.rangeAt(a, 0)?.startOffset).toBe(0);
    expect(manifest.rangeAt(a, 59)?.startOffset).toBe(50);
    expect(manifest.rangeAt(a, 60)?.startOffset).toBe(60);
    expect(manifest.rangeAt(a, 100)).toBeUndefined();
    await manifest.trimStream(a, 45);
    expect(manifest.rangeAt(a, 0)?.startOffset).toBe(40);
  });
});

describe('commit', () => {
  test('I5: a gap or an overlap is refused and changes nothing', async () => {
    const [a = 0] = await createStreams(1);
    await commitRange(a, 0, 10);
    const objectId = await prepare();
    for (const wrong of [
      holding(objectId, [a, 9, 12]),
      holding(objectId, [a, 11, 12]),
      holding(objectId, [a, 10, 10]),
    ]) {
      await expect(manifest.commitObjects([wrong])).rejects.toBeInstanceOf(ManifestConflictError);
    }
    expect(manifest.object(objectId)?.state).toBe('prepared');
    await manifest.commitObjects([holding(objectId, [a, 10, 12])]);
    expect(offsets(a)).toEqual([
      [0, 10],
      [10, 12],
    ]);
  });

  test('several objects of one commit may follow each other in one stream', async () => {
    const [a = 0] = await createStreams(1);
    const [first, second] = [await prepare(), await prepare()];
    await manifest.commitObjects([holding(first, [a, 0, 5]), holding(second, [a, 5, 9])]);
    expect(manifest.committedOffset(a)).toBe(9);
  });

  test('repeating a commit whose answer was lost changes nothing', async () => {
    const [a = 0] = await createStreams(1);
    const object = holding(await prepare(), [a, 0, 10]);
    await manifest.commitObjects([object]);
    const sequence = journal.committedSequence;
    await manifest.commitObjects([object]);
    expect(offsets(a)).toEqual([[0, 10]]);
    expect(journal.committedSequence).toBe(sequence);
  });

  test('T12: an object whose deadline passed is refused, its bytes will be deleted', async () => {
    const [a = 0] = await createStreams(1);
    const objectId = await prepare(env.clock.wallMs() - 1);
    await manifest.expirePrepared(env.clock.wallMs());
    await expect(manifest.commitObjects([holding(objectId, [a, 0, 1])])).rejects.toBeInstanceOf(
      ManifestConflictError,
    );
    expect(manifest.destroyedObjects(env.clock.wallMs()).map((object) => object.objectId)).toEqual([
      objectId,
    ]);
  });

  test('ranges of streams deleted during the upload are left out', async () => {
    const [a = 0, b = 0] = await createStreams(2);
    const [mixed, orphan] = [await prepare(), await prepare()];
    await deleteStreams(b);
    await manifest.commitObjects([holding(mixed, [a, 0, 5], [b, 0, 5]), holding(orphan, [b, 5, 9])]);
    expect(offsets(a)).toEqual([[0, 5]]);
    expect(manifest.object(mixed)?.state).toBe('committed');
    expect(manifest.object(orphan)?.state).toBe('destroyed');
  });

  test('a timestamp that no clock has is stored as the furthest there is', async () => {
    const [a = 0] = await createStreams(1);
    const objectId = await prepare();
    const object = holding(objectId, [a, 0, 1]);
    const ranges = object.ranges.map((range) => ({ ...range, maxTimestampMs: 2 ** 62 }));
    await manifest.commitObjects([{ ...object, ranges }]);
    expect(manifest.ranges(a)[0]?.maxTimestampMs).toBe(Number.MAX_SAFE_INTEGER - 1);
  });
});

describe('trim', () => {
  test('drops whole ranges and destroys objects that no live range refers to', async () => {
    const [a = 0, b = 0] = await createStreams(2);
    const shared = await prepare();
    await manifest.commitObjects([holding(shared, [a, 0, 10], [b, 0, 10])]);
    const own = await commitRange(a, 10, 20);
    await manifest.trimStream(a, 15);
    expect(offsets(a)).toEqual([[10, 20]]);
    expect(manifest.object(shared)?.state).toBe('committed');
    await manifest.trimStream(a, 20);
    expect([offsets(a), manifest.object(own)?.state]).toEqual([[], 'destroyed']);
    await manifest.trimStream(b, 10);
    expect(manifest.object(shared)?.state).toBe('destroyed');
  });

  test('never moves back, and may run ahead of what is committed', async () => {
    const [a = 0] = await createStreams(1);
    await manifest.trimStream(a, 30);
    await manifest.trimStream(a, 20);
    expect(manifest.startOffset(a)).toBe(30);
    const below = await commitRange(a, 0, 30);
    expect([offsets(a), manifest.object(below)?.state]).toEqual([[], 'destroyed']);
    await commitRange(a, 30, 40);
    expect(offsets(a)).toEqual([[30, 40]]);
    await expect(manifest.trimStream(99, 1)).rejects.toBeInstanceOf(UnknownStreamError);
  });
});

describe('replace', () => {
  async function threeRanges(): Promise<{ a: number; objects: number[] }> {
    const [a = 0] = await createStreams(1);
    const objects = [await commitRange(a, 0, 10), await commitRange(a, 10, 20), await commitRange(a, 20, 30)];
    return { a, objects };
  }
  const ref = (streamId: number, startOffset: number, endOffset: number, objectId = 0) => ({
    streamId,
    startOffset,
    endOffset,
    objectId,
  });

  test('swaps ranges for others that cover the same offsets and destroys what they lay in', async () => {
    const { a, objects } = await threeRanges();
    const compacted = await prepare();
    await manifest.replaceRanges(
      [holding(compacted, [a, 0, 20])],
      [ref(a, 0, 10, objects[0]), ref(a, 10, 20, objects[1])],
    );
    expect(offsets(a)).toEqual([
      [0, 20],
      [20, 30],
    ]);
    expect(objects.map((objectId) => manifest.object(objectId)?.state)).toEqual([
      'destroyed',
      'destroyed',
      'committed',
    ]);
    await commitRange(a, 30, 40);
    expect(manifest.rangeAt(a, 25)?.objectId).toBe(objects[2]);
  });

  test('is refused unless old and new cover exactly the same offsets', async () => {
    const { a, objects } = await threeRanges();
    const objectId = await prepare();
    const both = [ref(a, 0, 10, objects[0]), ref(a, 10, 20, objects[1])];
    for (const [object, replaced] of [
      [holding(objectId, [a, 0, 19]), both],
      [holding(objectId, [a, 1, 20]), both],
      [holding(objectId, [a, 0, 9], [a, 10, 20]), both],
      [holding(objectId, [a, 0, 20]), [ref(a, 0, 10, objects[1]), ref(a, 10, 20, objects[1])]],
      [holding(objectId, [a, 0, 30]), [ref(a, 0, 10, objects[0]), ref(a, 20, 30, objects[2])]],
      [holding(objectId, [a, 0, 20]), []],
    ] as const) {
      await expect(manifest.replaceRanges([object], replaced)).rejects.toBeInstanceOf(ManifestConflictError);
    }
    expect(manifest.ranges(a)).toHaveLength(3);
  });

  test('T17: loses against a trim or a deletion that was committed first', async () => {
    const { a, objects } = await threeRanges();
    const objectId = await prepare();
    const replace = (): Promise<void> =>
      manifest.replaceRanges([holding(objectId, [a, 0, 10])], [ref(a, 0, 10, objects[0])]);
    await manifest.trimStream(a, 10);
    await expect(replace()).rejects.toBeInstanceOf(ManifestConflictError);
    await deleteStreams(a);
    await expect(replace()).rejects.toBeInstanceOf(ManifestConflictError);
    expect(manifest.object(objectId)?.state).toBe('prepared');
  });
});

describe('the end of an object', () => {
  test('deleting a stream destroys its objects; removing them forgets them; both may be repeated', async () => {
    const [a = 0] = await createStreams(1);
    const objectId = await commitRange(a, 0, 10);
    await expect(manifest.removeObjects([objectId])).rejects.toBeInstanceOf(ManifestConflictError);
    await deleteStreams(a, a, 99);
    await deleteStreams(a);
    expect(manifest.destroyedObjects(env.clock.wallMs())).toHaveLength(1);
    expect(manifest.destroyedObjects(env.clock.wallMs() - 1)).toHaveLength(0);
    await manifest.removeObjects([objectId]);
    await manifest.removeObjects([objectId]);
    expect(manifest.object(objectId)).toBeUndefined();
  });

  test('I24: nothing may be deleted because of an entry that is not committed yet', async () => {
    const [a = 0] = await createStreams(1);
    await commitRange(a, 0, 10);
    store.unavailable = true;
    const trimming = manifest.trimStream(a, 10);
    await env.clock.advance(60_000);
    expect(offsets(a)).toEqual([[0, 10]]);
    expect(manifest.destroyedObjects(env.clock.wallMs())).toEqual([]);
    store.unavailable = false;
    await env.clock.run(trimming);
    expect(manifest.destroyedObjects(env.clock.wallMs())).toHaveLength(1);
  });
});
