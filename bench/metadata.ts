import { mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FileObjectStore } from '../broker-runtime/src/adapters/file-object-store.ts';
import { systemEnv } from '../broker-runtime/src/adapters/system-env.ts';
import { MetadataImage, STREAMS_PER_PARTITION } from '../broker-runtime/src/metadata/metadata-image.ts';
import type { ObjectStore } from '../broker-runtime/src/ports/object-store.ts';
import { ManifestDecisions } from '../broker-runtime/src/store/manifest-decisions.ts';
import { ManifestImage } from '../broker-runtime/src/store/manifest-image.ts';
import type { CommittedObject } from '../broker-runtime/src/store/manifest.ts';
import { Images } from '../broker-runtime/src/wal/conditional/images.ts';
import { ConditionalJournal } from '../broker-runtime/src/wal/conditional-journal.ts';
import type { JournalRecord } from '../broker-runtime/src/wal/journal.ts';

/** The cluster that metadata is planned for. */
export interface ClusterSize {
  readonly partitions: number;
  readonly brokers: number;
  /** Ranges that a partition has between two rounds of compaction. */
  readonly rangesPerPartition: number;
}

export const PLANNED: ClusterSize = { partitions: 100_000, brokers: 1_000, rangesPerPartition: 32 };

export interface MetadataFigures {
  readonly size: ClusterSize;
  readonly objects: number;
  readonly ranges: number;
  /** Of both images, in this process. */
  readonly memoryBytes: number;
  readonly snapshotBytes: number;
  /** The controller does nothing else meanwhile. */
  readonly writeSnapshotMs: number;
  readonly readSnapshotMs: number;
  /** Of the log's records: of a partition with its streams when it is created, of an object from prepared to committed. */
  readonly bytesPerPartition: number;
  readonly bytesPerObject: number;
  readonly bytesPerRange: number;
  readonly replayedRangesPerSecond: number;
  readonly commitsPerSecond: number;
  readonly entriesPerSecond: number;
}

/** S3 answers a conditional put of some KiB in 20 to 40 ms. */
const PUT_MS = 30;
const COMMIT_RUN_MS = 5_000;
const RECORD_BYTES = 1024;
const RECORDS_PER_RANGE = 500;
const NOW_MS = Date.UTC(2026, 0, 1);

/** Everything that the log of such a cluster says, record by record. */
class Script {
  readonly images = { manifest: new ManifestImage(), metadata: new MetadataImage() };
  readonly #all = new Images([this.images.manifest, this.images.metadata]);
  readonly #decisions: ManifestDecisions;
  readonly #size: ClusterSize;
  #sequence = 0;
  #bytes = 0;

  constructor(size: ClusterSize) {
    this.#size = size;
    this.#decisions = new ManifestDecisions(systemEnv({ minLevel: 'error' }), this.images.manifest);
  }

  get all(): Images {
    return this.#all;
  }

  /** @returns bytes of the records that `work` applied */
  measured(work: () => void): number {
    const before = this.#bytes;
    work();
    return this.#bytes - before;
  }

  #apply(records: readonly JournalRecord[]): void {
    this.#sequence += 1;
    for (const record of records) {
      this.#bytes += record.bytes.length;
      this.#all.apply(record, this.#sequence);
    }
  }

  createBrokers(): void {
    const { metadata } = this.images;
    for (let nodeId = 1; nodeId <= this.#size.brokers; nodeId += 1) {
      const zone = `zone-${nodeId % 3}`;
      const incarnationId = `broker-${nodeId}`;
      this.#apply([
        metadata.record({ type: 'node-registered', nodeId, incarnationId, walKind: 'block-shared', zone }),
      ]);
      const at = { nodeId, nodeEpoch: this.#sequence, host: `b${nodeId}.kafka.internal`, port: 9092 };
      this.#apply([metadata.record({ type: 'node-serving', ...at })]);
    }
  }

  /** Topics of a hundred partitions, on brokers in turn. */
  createPartitions(): void {
    const partitionsPerTopic = 100;
    for (let n = 0; n < this.#size.partitions / partitionsPerTopic; n += 1) {
      const streams = this.#decisions.createStreams(partitionsPerTopic * STREAMS_PER_PARTITION);
      const leaderIds = Array.from(
        { length: partitionsPerTopic },
        (_, index) => ((n * partitionsPerTopic + index) % this.#size.brokers) + 1,
      );
      const created = this.images.metadata.record({
        type: 'topic-created',
        topicId: Buffer.from(String(n).padStart(16, '0')).toString('base64url'),
        name: `topic-${n}`,
        internal: false,
        partitions: { firstStreamId: streams.result[0] ?? 0, leaderIds },
      });
      this.#apply([...streams.records, created]);
    }
  }

  /** One upload of every broker: a range of each of its partitions. */
  uploadRound(round: number): void {
    for (let broker = 0; broker < this.#size.brokers; broker += 1) {
      const prepared = this.#decisions.prepareObjects(1, NOW_MS + 3_600_000);
      this.#apply(prepared.records);
      this.#apply(
        this.#decisions.commitObjects([this.#object(prepared.result[0] ?? 0, broker, round)]).records,
      );
    }
  }

  #object(objectId: number, broker: number, round: number): CommittedObject {
    const perBroker = this.#size.partitions / this.#size.brokers;
    const ranges = Array.from({ length: perBroker }, (_, n) => ({
      streamId: (n * this.#size.brokers + broker) * STREAMS_PER_PARTITION + 1,
      startOffset: round * RECORDS_PER_RANGE,
      endOffset: (round + 1) * RECORDS_PER_RANGE,
      sizeBytes: RECORDS_PER_RANGE * RECORD_BYTES,
      maxTimestampMs: NOW_MS + round * 16_000 + n,
    }));
    return {
      objectId,
      sizeBytes: perBroker * RECORDS_PER_RANGE * RECORD_BYTES,
      footerCrc32c: 1,
      ranges,
    };
  }
}

/** Builds the metadata of a large cluster as its log would, and takes its measure. */
export async function metadataFigures(size: ClusterSize): Promise<MetadataFigures> {
  const memoryBefore = memoryBytes();
  const script = new Script(size);
  script.createBrokers();
  const partitionBytes = script.measured(() => {
    script.createPartitions();
  });
  let objectBytes = 0;
  const beganMs = performance.now();
  for (let round = 0; round < size.rangesPerPartition; round += 1) {
    objectBytes += script.measured(() => {
      script.uploadRound(round);
    });
  }
  // Deciding and encoding included: what the controller does for each, and a little more than a follower.
  const replayMs = performance.now() - beganMs;
  const memoryUsed = memoryBytes() - memoryBefore;
  const [snapshot, writeSnapshotMs] = timed(() => script.all.write());
  const restored = new Images([new ManifestImage(), new MetadataImage()]);
  const [, readSnapshotMs] = timed(() => {
    restored.read(snapshot);
  });
  if (!Buffer.from(restored.write()).equals(snapshot)) throw new Error('a restored snapshot is another one');
  const objects = size.brokers * size.rangesPerPartition;
  const ranges = size.partitions * size.rangesPerPartition;
  return {
    size,
    objects,
    ranges,
    memoryBytes: memoryUsed,
    snapshotBytes: snapshot.length,
    writeSnapshotMs,
    readSnapshotMs,
    bytesPerPartition: partitionBytes / size.partitions,
    bytesPerObject: objectBytes / objects,
    bytesPerRange: objectBytes / ranges,
    replayedRangesPerSecond: (ranges * 1000) / replayMs,
    ...(await commitRate(size.brokers)),
  };
}

/** As many deciders as brokers, each with its next decision when the last one is committed. */
async function commitRate(
  deciders: number,
): Promise<Pick<MetadataFigures, 'commitsPerSecond' | 'entriesPerSecond'>> {
  const folder = mkdtempSync(path.join('/dev/shm', 'millrace-bench-metadata-'));
  const env = systemEnv({ minLevel: 'error' });
  const store = await FileObjectStore.open(env, folder);
  const slow: ObjectStore = {
    put: async (key, body, condition) => {
      await sleep(PUT_MS);
      return store.put(key, body, condition);
    },
    get: (key, range, into) => store.get(key, range, into),
    head: (key) => store.head(key),
    list: (prefix, options) => store.list(prefix, options),
    delete: (keys) => store.delete(keys),
    close: () => store.close(),
  };
  try {
    const image = new ManifestImage();
    const decisions = new ManifestDecisions(env, image);
    const journal = await ConditionalJournal.open(env, slow, [image], { writer: 'bench' });
    const firstSequence = journal.committedSequence;
    const beganMs = performance.now();
    let commits = 0;
    const decider = async (): Promise<void> => {
      while (performance.now() - beganMs < COMMIT_RUN_MS) {
        await journal.commit(() => decisions.prepareObjects(1, NOW_MS));
        commits += 1;
      }
    };
    await Promise.all(Array.from({ length: deciders }, decider));
    const seconds = (performance.now() - beganMs) / 1000;
    const entries = journal.committedSequence - firstSequence;
    await journal.close();
    return { commitsPerSecond: commits / seconds, entriesPerSecond: entries / seconds };
  } finally {
    await store.close();
    rmSync(folder, { recursive: true });
  }
}

function timed<T>(work: () => T): [result: T, tookMs: number] {
  const beganMs = performance.now();
  const result = work();
  return [result, performance.now() - beganMs];
}

function memoryBytes(): number {
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

const mib = (bytes: number) => `${(bytes / 1024 ** 2).toFixed(0)} MiB`;
const count = (value: number) => Math.round(value).toLocaleString('en-US');

export function metadataTable(of: MetadataFigures): readonly string[] {
  const { size } = of;
  const each = `${count(size.partitions)} partitions, ${count(size.brokers)} brokers, ${count(of.objects)} objects, ${count(of.ranges)} ranges`;
  return [
    `| ${each} | |`,
    '| --- | --- |',
    `| memory of the images, in every broker | ${mib(of.memoryBytes)} |`,
    `| snapshot | ${mib(of.snapshotBytes)}; ${(of.snapshotBytes / of.ranges).toFixed(1)} bytes a range |`,
    `| the controller writes one, and stands still for | ${count(of.writeSnapshotMs)} ms |`,
    `| a broker that starts reads it in | ${count(of.readSnapshotMs)} ms |`,
    `| log: bytes for a partition with its two streams, when it is created | ${of.bytesPerPartition.toFixed(1)} |`,
    `| log: bytes for an object with ${size.partitions / size.brokers} ranges, prepared and committed | ${count(of.bytesPerObject)}; ${of.bytesPerRange.toFixed(1)} a range |`,
    `| ranges decided, written and folded in a second | ${count(of.replayedRangesPerSecond)} |`,
    `| commits a second, ${count(size.brokers)} brokers at once, ${PUT_MS} ms a put | ${count(of.commitsPerSecond)}, in ${of.entriesPerSecond.toFixed(0)} entries |`,
  ];
}

if (import.meta.main) console.log(metadataTable(await metadataFigures(PLANNED)).join('\n'));
