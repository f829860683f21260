import { invariant } from '../base/errors.ts';
import type { Env } from '../ports/env.ts';
import type { Stream } from '../store/stream.ts';
import { WalClosedError } from '../wal/wal.ts';
import { type ErrorCode, Errors } from '../wire/errors.ts';
import type { LogConfig } from '../wire/log-config.ts';
import { BATCH_HEADER_BYTES, BatchHeader } from '../wire/records/batch-header.ts';
import { comesAgain, validateBatch } from './batch-validation.ts';
import { entryTimestampMs } from './entry-timestamp.ts';
import type { AppendOptions, AppendResult } from './partition-log.ts';
import type { RebuiltPartition } from './partition-open.ts';
import { PendingAppends } from './pending-appends.ts';
import type { SnapshotWriter } from './snapshot-writer.ts';
import type { Traffic } from './traffic.ts';

export interface LogAppenderParts {
  readonly env: Env;
  readonly data: Stream;
  readonly leaderEpoch: number;
  readonly rebuilt: RebuiltPartition;
  readonly snapshots: SnapshotWriter;
  readonly traffic: Traffic;
}

/** Takes batches into the log of a partition, each at the next offset, an idempotent one once. */
export class LogAppender {
  readonly #parts: LogAppenderParts;
  readonly #pending = new PendingAppends();

  constructor(parts: LogAppenderParts) {
    this.#parts = parts;
  }

  /** See {@link PartitionLog.append}. */
  append(batch: Uint8Array, origin: AppendOptions['origin'], config: LogConfig): AppendResult {
    const { env, data, leaderEpoch, rebuilt, snapshots, traffic } = this.#parts;
    const nowMs = env.clock.wallMs();
    const header = new BatchHeader(batch);
    const refusal = validateBatch(header, config, origin, nowMs);
    if (refusal !== undefined) return { ...this.refuse(batch, refusal.error), ...refusal };

    const { producers } = rebuilt.state;
    const { producerId, producerEpoch, baseSequence, lastOffsetDelta } = header;
    const idempotent = producerId >= 0 && !header.isControl;
    const appendTime = config.messageTimestampType === 'LogAppendTime';
    if (idempotent) {
      const verdict = producers.check(producerId, producerEpoch, baseSequence, lastOffsetDelta);
      if (typeof verdict === 'object') {
        return {
          error: Errors.NONE,
          baseOffset: verdict.firstOffset,
          logAppendTimeMs: verdict.logAppendTimeMs,
          durable: this.#pending.durable(verdict.lastOffset),
        };
      }
      if (verdict !== Errors.NONE) return refused(verdict);
    }

    const offset = data.endOffset;
    header.assignOffset(offset, leaderEpoch);
    if (appendTime) header.stampLogAppendTime(nowMs);
    const logAppendTimeMs = appendTime ? nowMs : -1;
    let durable: Promise<void>;
    try {
      const timestampMs = entryTimestampMs(header, nowMs);
      ({ durable } = data.append(offset, lastOffsetDelta + 1, timestampMs, batch, header.wholeCrc));
    } catch (error) {
      if (error instanceof WalClosedError) return refused(Errors.KAFKA_STORAGE_ERROR);
      throw error;
    }
    const { endOffset } = data;
    invariant(endOffset === offset + lastOffsetDelta + 1, 'I3', 'offsets are dense', { offset, endOffset });
    if (idempotent) {
      producers.record(
        producerId,
        producerEpoch,
        baseSequence,
        offset,
        lastOffsetDelta,
        logAppendTimeMs,
        nowMs,
      );
    }
    this.#pending.add(endOffset, durable);
    rebuilt.recent.add(offset, endOffset, batch.length, nowMs);
    snapshots.noteAppended(batch.length);
    traffic.bytesIn += batch.length;
    traffic.requests += 1;
    return { error: Errors.NONE, baseOffset: offset, logAppendTimeMs, durable };
  }

  /** See {@link PartitionLog.refuse}. */
  refuse(batch: Uint8Array, error: ErrorCode): AppendResult {
    if (comesAgain(error) && batch.length >= BATCH_HEADER_BYTES) {
      const { producerId, producerEpoch, baseSequence } = new BatchHeader(batch);
      if (producerId >= 0 && baseSequence === 0) {
        this.#parts.rebuilt.state.producers.refusedFirst(producerId, producerEpoch);
      }
    }
    return refused(error);
  }

  /** Everything below is durable: a repeat of it needs to wait for nothing. */
  becameDurable(durableOffset: number): void {
    this.#pending.drop(durableOffset);
  }
}

export function refused(error: ErrorCode): AppendResult {
  return { error, baseOffset: -1, logAppendTimeMs: -1 };
}
