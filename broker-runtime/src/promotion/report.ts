import { objectKey } from '../store/object-key.ts';
import type { Cut } from './cut.ts';

/** Of thousands a few show where to look. */
const MISSING_SHOWN_MAX = 20;

/** What a promotion keeps and what it gives up, as JSON. */
export interface PromotionReport {
  readonly clusterId: string;
  /** Entry of the metadata log that the cluster goes on from. */
  readonly cutSequence: number;
  /** When the newest decision in the cut, and in the readable log, was made; null: not known. */
  readonly cutAtWallMs: number | null;
  readonly readableAtWallMs: number | null;
  readonly readableSequence: number;
  /** The newest entry that was replicated at all. */
  readonly newestSequence: number;
  /** Milliseconds between the cut and the end of the readable log, null when not known; 0 when the cut is its end. */
  readonly givenUpMs: number | null;
  readonly cutShortBy: string | null;
  readonly missingObjects: number;
  /** The first of them. */
  readonly missingKeys: readonly string[];
  readonly skippedSnapshots: readonly string[];
  readonly partitions: readonly PromotedPartition[];
  /** What these had acknowledged and not uploaded at the cut is in no bucket. */
  readonly brokersWithLogs: readonly { readonly nodeId: number; readonly zone: string }[];
}

export interface PromotedPartition {
  readonly topic: string;
  readonly partition: number;
  readonly startOffset: number;
  /** One past the last record that is kept: where the partition goes on. */
  readonly endOffset: number;
}

export function reportOf(clusterId: string, newestSequence: number, cut: Cut): PromotionReport {
  const { at, readable, images, missing, skipped, cutShortBy } = cut;
  const isEnd = at.sequence === readable.sequence;
  return {
    clusterId,
    cutSequence: at.sequence,
    cutAtWallMs: at.atWallMs ?? null,
    readableAtWallMs: readable.atWallMs ?? null,
    readableSequence: readable.sequence,
    newestSequence,
    givenUpMs: isEnd ? 0 : spanMs(at.atWallMs, readable.atWallMs),
    cutShortBy: cutShortBy ?? null,
    missingObjects: missing.length,
    missingKeys: missing.slice(0, MISSING_SHOWN_MAX).map(objectKey),
    skippedSnapshots: skipped,
    partitions: partitionsOf(images),
    brokersWithLogs: [...images.metadata.brokers.values()]
      .filter(({ state, logNeeded }) => state !== 'clean' && logNeeded)
      .map(({ nodeId, zone }) => ({ nodeId, zone })),
  };
}

function partitionsOf({ metadata, manifest }: Cut['images']): readonly PromotedPartition[] {
  const found: PromotedPartition[] = [];
  for (const { name, partitions } of metadata.topics()) {
    for (const { index, dataStreamId } of partitions) {
      const stream = manifest.streams.get(dataStreamId);
      const startOffset = stream?.startOffset ?? 0;
      const endOffset = Math.max(startOffset, stream?.committedOffset ?? 0);
      found.push({ topic: name, partition: index, startOffset, endOffset });
    }
  }
  return found.sort((a, b) => (a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1));
}

function spanMs(from: number | undefined, to: number | undefined): number | null {
  return from === undefined || to === undefined ? null : Math.max(0, to - from);
}
