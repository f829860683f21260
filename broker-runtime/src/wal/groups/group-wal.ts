import { invariant, messageOf } from '../../base/errors.ts';
import type { Env } from '../../ports/env.ts';
import { WalClosedError, type Patience, type Wal, type WalGroup, type WalListener } from '../wal.ts';
import type { GroupMemory } from './group-memory.ts';
import type { Group } from './group.ts';

/** A medium that is silent for longer does not come back in time for a stop. */
const CLOSE_PATIENCE_MS = 10_000;

/** Hands groups to a medium and acknowledges them, both in sequence order. */
export interface MediumWriter {
  /** The newest acknowledged group. */
  readonly durableSequence: number;
  /** Hands out what can be handed out now. */
  pump(): void;
  /** Lets nothing wait to be filled any more. Resolves when everything is acknowledged, or the writer stopped. */
  drained(): Promise<void>;
  /** Acknowledges nothing any more and gives back what never will be. */
  stop(): Group[];
}

/** The life of a WAL of either kind: one write for the appends of a turn, and an end that is a close or a failure. */
export abstract class GroupWal implements Wal {
  /** The largest entry that {@link append} takes. */
  abstract readonly maxEntryBytes: number;
  abstract readonly usedBytes: number;
  abstract readonly capacityBytes: number;
  protected abstract readonly memory: GroupMemory;
  protected abstract readonly writer: MediumWriter;
  readonly #env: Env;
  readonly #listener: WalListener;
  /** What a medium has not done that was waited for, for people. */
  readonly #silence: string;
  #isPumpScheduled = false;
  /** Why no append is taken any more. */
  #ended: Error | undefined;
  /** Failed, or closed to the end: nothing is written any more. */
  #isOver = false;
  #closing: Promise<void> | undefined;

  protected constructor(env: Env, listener: WalListener, silence: string) {
    this.#env = env;
    this.#listener = listener;
    this.#silence = silence;
  }

  /** Resolves when the medium says so. */
  protected abstract trimMedium(sequence: number): Promise<void>;

  /** Everything is acknowledged: writes down how far the log goes. */
  protected abstract finishMedium(): Promise<void>;

  /** Writes nothing any more; fails the trims that are still waited for. */
  protected abstract stopMedium(error: Error): void;

  /** Gives up what the process holds of the medium: no write is under way. */
  protected abstract releaseMedium(): Promise<void>;

  get waitingBytes(): number {
    return this.memory.waitingBytes;
  }

  /** The newest acknowledged group. */
  get durableSequence(): number {
    return this.writer.durableSequence;
  }

  admit(payloadBytes: number, entryCount: number, patience?: Patience): Promise<void> | undefined {
    if (this.#ended !== undefined) throw this.#ended;
    return this.memory.admit(payloadBytes, entryCount, patience);
  }

  append(
    streamId: number,
    baseOffset: number,
    count: number,
    maxTimestampMs: number,
    bytes: Uint8Array,
    crc32c?: number,
  ): WalGroup {
    if (this.#ended !== undefined) throw this.#ended;
    const group = this.memory.queue.append(streamId, baseOffset, count, maxTimestampMs, bytes, crc32c);
    if (!this.#isPumpScheduled) {
      this.#isPumpScheduled = true;
      // Once for all appends of this turn: they share a write.
      this.#env.clock.afterTurn(() => {
        this.#isPumpScheduled = false;
        this.writer.pump();
      });
    }
    return group;
  }

  trim(sequence: number): Promise<void> {
    // Thrown at once, not as a rejection that nobody may be waiting for.
    invariant(sequence <= this.durableSequence, 'I27', 'only durable groups are trimmed', {
      sequence,
      durable: this.durableSequence,
    });
    const trimmed = this.#isOver ? Promise.reject(this.#ended ?? closed()) : this.trimMedium(sequence);
    // Whoever does not wait learns of a failure by `onFailed`; it must not end the process as an unhandled rejection.
    trimmed.catch(() => undefined);
    return trimmed;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#ended ??= closed();
    this.memory.rejectAll(this.#ended);
    const finished = this.#finish(this.#ended);
    const patience = new AbortController();
    const late = this.#env.clock.sleep(CLOSE_PATIENCE_MS, patience.signal).then(
      () => false,
      () => true,
    );
    if (await Promise.race([finished, late])) patience.abort();
    // The medium is left to the end of the process: the write that hangs still reads our memory.
    else this.fail(new Error(`${this.#silence} within ${CLOSE_PATIENCE_MS} ms`));
  }

  async #finish(ended: Error): Promise<boolean> {
    await this.writer.drained();
    if (!this.#isOver) {
      try {
        await this.finishMedium();
        this.#isOver = true;
        this.stopMedium(ended);
      } catch (error) {
        this.fail(error);
      }
    }
    await this.releaseMedium();
    return true;
  }

  /** Nothing is acknowledged any more, and whoever waits hears so. */
  protected fail(cause: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const why = messageOf(cause);
    const error = new WalClosedError(`the WAL failed and acknowledges nothing any more: ${why}`, { cause });
    this.#ended = error;
    this.#env.events.error('wal.failed', { error: why });
    for (const group of [...this.writer.stop(), ...this.memory.queue.drop()]) group.fail(error);
    this.stopMedium(error);
    this.memory.rejectAll(error);
    this.#listener.onFailed(error);
  }
}

function closed(): WalClosedError {
  return new WalClosedError('the WAL was closed');
}
