import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ByteReader, ByteWriter } from '../../broker-runtime/src/base/bytes.ts';
import { CorruptionError, InvariantViolation } from '../../broker-runtime/src/base/errors.ts';
import { ManifestImage } from '../../broker-runtime/src/store/manifest-image.ts';
import type { CommittedObject } from '../../broker-runtime/src/store/manifest.ts';
import { decodeRecord, encodeRecord } from '../../broker-runtime/src/store/manifest/records.ts';
import type { Decision, Journal } from '../../broker-runtime/src/wal/journal.ts';
import { simEnv } from '../simulation/world/sim-env.ts';
import { LocalManifest } from './local-manifest.ts';

/** Folds what is decided at once and remembers it: all that a manifest needs of a journal. */
class RecordingJournal implements Journal {
  readonly clusterId = 'test';
  readonly trouble = undefined;
  readonly records: Uint8Array[] = [];
  committedSequence = 0;
  readonly #image: ManifestImage;

  constructor(image: ManifestImage) {
    this.#image = image;
  }

  commit<T>(decide: (sequence: number) => Decision<T>): Promise<T> {
    return Promise.resolve().then(() => {
      const { records, result } = decide(this.committedSequence + 1);
      this.committedSequence++;
      for (const { bytes } of records) {
        this.records.push(bytes.slice());
        this.#image.apply(bytes);
      }
      return result;
    });
  }

  async close(): Promise<void> {
    return;
  }
}

function open(): { image: ManifestImage; journal: RecordingJournal; manifest: LocalManifest } {
  const image = new ManifestImage();
  const journal = new RecordingJournal(image);
  return { image, journal, manifest: new LocalManifest(simEnv(1), journal, image) };
}

function snapshot(image: ManifestImage): Uint8Array {
  const writer = new ByteWriter();
  image.writeSnapshot(writer);
  return writer.finish();
}

function restored(bytes: Uint8Array): ManifestImage {
  const image = new ManifestImage();
  image.readSnapshot(new ByteReader(bytes));
  return image;
}

async function createStreams({ manifest }: ReturnType<typeof open>, count: number): Promise<void> {
  await manifest.createStreams(count);
}

function holding(
  objectId: number,
  streamId: number,
  startOffset: number,
  endOffset: number,
): CommittedObject {
  const range = { streamId, startOffset, endOffset, sizeBytes: 1_000, maxTimestampMs: 1_767_225_600_000 };
  return { objectId, sizeBytes: 9_000_000, footerCrc32c: 0xdead_beef, ranges: [range] };
}

type Step =
  | { readonly kind: 'commit'; readonly streams: readonly number[]; readonly count: number }
  | { readonly kind: 'trim'; readonly stream: number; readonly share: number }
  | { readonly kind: 'merge'; readonly stream: number; readonly first: number; readonly count: number }
  | { readonly kind: 'delete'; readonly stream: number }
  | { readonly kind: 'collect' };

const stream = fc.nat(3);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('commit' as const),
      streams: fc.uniqueArray(stream, { minLength: 1 }),
      count: fc.integer({ min: 1, max: 50 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('trim' as const),
      stream,
      share: fc.double({ min: 0, max: 1.2, noNaN: true }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('merge' as const),
      stream,
      first: fc.nat(5),
      count: fc.integer({ min: 1, max: 4 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const), stream }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'collect' as const }) },
);

describe('any history of streams and objects', () => {
  test('tiles each stream (I5), names only known objects (I23), keeps what is named (I24), and is its snapshot (I20)', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const world = open();
        const { image, journal, manifest } = world;
        await createStreams(world, 4);
        for (const one of steps) {
          await run(one, manifest);
          check(manifest);
        }
        const bytes = snapshot(image);
        const copy = restored(bytes);
        expect(Buffer.compare(snapshot(copy), bytes)).toBe(0);
        const replayed = new ManifestImage();
        journal.records.forEach((record) => replayed.apply(record));
        expect(Buffer.compare(snapshot(replayed), bytes)).toBe(0);
        // A restored image goes on as the original does.
        const next = await createRecords(manifest, journal);
        for (const record of next) copy.apply(record);
        expect(Buffer.compare(snapshot(copy), snapshot(image))).toBe(0);
      }),
      { numRuns: 150 },
    );
  });
});

async function createRecords(
  manifest: LocalManifest,
  journal: RecordingJournal,
): Promise<readonly Uint8Array[]> {
  const before = journal.records.length;
  await manifest.prepareObjects(2, 5);
  await manifest.expirePrepared(5);
  return journal.records.slice(before);
}

async function run(one: Step, manifest: LocalManifest): Promise<void> {
  const ids = [...manifest.streamIds()];
  const idOf = (index: number): number => ids[index % Math.max(1, ids.length)] ?? 0;
  switch (one.kind) {
    case 'commit': {
      if (ids.length === 0) return;
      const [objectId = 0] = await manifest.prepareObjects(1, 1_000_000);
      const chosen = [...new Set(one.streams.map(idOf))];
      const ranges = chosen.map((streamId) => {
        const startOffset = manifest.committedOffset(streamId);
        return {
          streamId,
          startOffset,
          endOffset: startOffset + one.count,
          sizeBytes: one.count,
          maxTimestampMs: -1,
        };
      });
      return manifest.commitObjects([{ objectId, sizeBytes: one.count, ranges }]);
    }
    case 'trim': {
      const streamId = idOf(one.stream);
      if (!manifest.hasStream(streamId)) return;
      return manifest.trimStream(streamId, Math.floor(manifest.committedOffset(streamId) * one.share));
    }
    case 'merge': {
      const streamId = idOf(one.stream);
      if (!manifest.hasStream(streamId)) return;
      const replaced = manifest.ranges(streamId).slice(one.first, one.first + one.count);
      const [first, last] = [replaced[0], replaced.at(-1)];
      if (first === undefined || last === undefined) return;
      const [objectId = 0] = await manifest.prepareObjects(1, 1_000_000);
      const object = holding(objectId, streamId, first.startOffset, last.endOffset);
      return manifest.replaceRanges(
        [object],
        replaced.map((range) => ({ ...range, streamId })),
      );
    }
    case 'delete':
      return manifest.deleteStreams([idOf(one.stream)]);
    case 'collect':
      return manifest.removeObjects(manifest.destroyedObjects(Infinity).map((object) => object.objectId));
  }
}

function check(manifest: LocalManifest): void {
  const named = new Set<number>();
  for (const streamId of manifest.streamIds()) {
    const ranges = manifest.ranges(streamId);
    ranges.forEach((range, n) => {
      if (n > 0) expect(range.startOffset).toBe(ranges[n - 1]?.endOffset);
      expect(range.endOffset).toBeGreaterThan(manifest.startOffset(streamId));
      expect(manifest.object(range.objectId)?.state).toBe('committed');
      named.add(range.objectId);
    });
    if (ranges.length > 0) expect(ranges.at(-1)?.endOffset).toBe(manifest.committedOffset(streamId));
  }
  for (const { objectId } of manifest.destroyedObjects(Infinity)) expect(named.has(objectId)).toBe(false);
}

describe('what cannot be', () => {
  test('I26: a snapshot whose ranges are not those its sums tell of stops the reader', async () => {
    const world = open();
    await createStreams(world, 1);
    const [objectId = 0] = await world.manifest.prepareObjects(1, 1_000);
    await world.manifest.commitObjects([holding(objectId, 1, 0, 100)]);
    const bytes = snapshot(world.image);
    // The range's size: the one field that nothing else in a snapshot depends on.
    const at = bytes.indexOf(0xe8, 20);
    expect([bytes[at], bytes[at + 1]]).toEqual([0xe8, 0x07]);
    bytes[at] = 0xe9;
    expect(() => restored(bytes)).toThrow(InvariantViolation);
    expect(() => restored(bytes)).toThrow(/I26/);
  });

  test('records that contradict the state stop the process: I5, I24', async () => {
    const world = open();
    await createStreams(world, 1);
    const apply = (record: Parameters<typeof encodeRecord>[0]) => () =>
      world.image.apply(encodeRecord(record));
    await world.manifest.prepareObjects(2, 1_000);
    const objects = [holding(1, 1, 5, 6)];
    expect(apply({ type: 'objects-committed', atWallMs: 1, objects })).toThrow(/I5/);
    expect(apply({ type: 'objects-removed', objectIds: [2] })).toThrow(/I24/);
    expect(apply({ type: 'stream-trimmed', atWallMs: 1, streamId: 7, startOffset: 1 })).toThrow(
      InvariantViolation,
    );
  });

  test('T23: an unknown type of record, a cut one and one with more behind it stop the reader', () => {
    const known = encodeRecord({ type: 'objects-removed', objectIds: [1] });
    expect(() => decodeRecord(Uint8Array.of(99))).toThrow(CorruptionError);
    expect(() => decodeRecord(known.subarray(0, known.length - 1))).toThrow();
    expect(() => decodeRecord(Buffer.concat([known, Buffer.from([0])]))).toThrow(CorruptionError);
    expect(() => restored(Uint8Array.of(99))).toThrow(/version 99/);
  });
});

describe('the size of it', () => {
  test('an object costs less than thirty bytes of log and of snapshot, and work grows with the number only', async () => {
    const world = open();
    const { image, journal, manifest } = world;
    const objectCount = 10_000;
    await createStreams(world, 100);
    for (let round = 0; round < objectCount / 1_000; round++) {
      const ids = await manifest.prepareObjects(1_000, 1_767_225_600_000);
      await manifest.commitObjects(
        ids.map((objectId, n) => {
          const startOffset = round * 10_000 + Math.floor(n / 100) * 1_000;
          return holding(objectId, (n % 100) + 1, startOffset, startOffset + 1_000);
        }),
      );
    }
    const logBytes = journal.records.reduce((sum, record) => sum + record.length, 0);
    expect(logBytes / objectCount).toBeLessThan(30);

    const begun = process.cpuUsage();
    const replayed = new ManifestImage();
    journal.records.forEach((record) => replayed.apply(record));
    const bytes = snapshot(image);
    expect(Buffer.compare(snapshot(restored(bytes)), snapshot(replayed))).toBe(0);
    expect(bytes.length / objectCount).toBeLessThan(30);
    // Measured outside of the test runner: 230 ms to replay 100,000 objects, 160 to restore them. Processor time, because the machine may be busy with other things;
    // the limit is there to catch work that grows with the square, which would take minutes.
    expect(process.cpuUsage(begun).user / 1_000).toBeLessThan(5_000);
  });
});
