import { CorruptionError, invariant } from '../../base/errors.ts';
import type { Env } from '../../ports/env.ts';
import type { ObjectStore } from '../../ports/object-store.ts';
import { RetryingStore } from '../conditional/retrying-store.ts';
import type { LogOwner } from '../log-owner.ts';
import { WalMismatchError, type RecoveredGroup } from '../wal.ts';
import { checkFencedBy, fencing, WalFence, type FencedBy } from './fence.ts';
import type { FenceRecord } from './fence-record.ts';
import { epochPrefix, groupKey, parseGroupKey } from './keys.ts';
import { decodeGroup, type LogIdentity, type StoredGroup } from './layout.ts';
import { deleteGroups } from './trimmer.ts';

/** Groups that are read at once, and held until those before them were taken. */
const READS_IN_FLIGHT = 8;
/** Reads of bytes that do not pass their checksum, before they count as damaged (protocol 3.7). */
const READ_ATTEMPTS = 3;

/** The bucket, seen by whoever fences or recovers. Everything waits while the store is down, until the signal aborts. */
export interface ObjectWalMedium {
  readonly env: Env;
  readonly objects: ObjectStore;
  readonly signal?: AbortSignal;
}

/**
 * That a log is fenced: nothing that was not in the bucket when it was made is ever acknowledged by its writer. Only
 * {@link fenceObjectWal} makes one, and only with one can a log be read (I30).
 */
export class FenceProof {
  readonly owner: LogOwner;
  readonly by: FencedBy;
  readonly record: FenceRecord;

  private constructor(owner: LogOwner, by: FencedBy, record: FenceRecord) {
    this.owner = owner;
    this.by = by;
    this.record = record;
  }

  static async establish(medium: ObjectWalMedium, owner: LogOwner, by: FencedBy): Promise<FenceProof> {
    const fence = new WalFence(medium.env, retrying(medium), owner);
    const record = await fence.swap((current) => fencing(current, by));
    medium.env.events.info('wal.fenced', { nodeId: owner.nodeId, ...by, logEpoch: record.logEpoch });
    return new FenceProof(owner, by, record);
  }
}

/**
 * Fences the log of a node (protocol 3.5 step 3): from here on nothing its writer does is acknowledged. Repeating it
 * is harmless. A node that starts again fences the epochs before its own itself: `epoch` is its own less one.
 * @throws {WalFenceLostError} a later epoch has the log, or a later attempt fences it
 * @throws {WalMismatchError} the fence is of another cluster
 * @throws {CorruptionError} the fence cannot be read
 */
export function fenceObjectWal(medium: ObjectWalMedium, owner: LogOwner, by: FencedBy): Promise<FenceProof> {
  return FenceProof.establish(medium, owner, by);
}

/**
 * Lists what a fenced log holds. What lands later is not part of it. Writes nothing.
 *
 * `committedEnd`: where the log ends according to the entry that committed its recovery, if there is one. Then all of
 * it is in objects and others went on from there, so nothing is handed out, whatever lies in the bucket.
 * @throws {WalFenceLostError} somebody fenced or claimed the log since
 */
export async function recoverObjectWal(
  proof: FenceProof,
  medium: ObjectWalMedium,
  options: { readonly committedEnd?: number } = {},
): Promise<ObjectWalRecovery> {
  const { record, owner, by } = proof;
  const { trimmedUpTo } = record;
  const { committedEnd } = options;
  if (committedEnd !== undefined) {
    if (committedEnd >= trimmedUpTo) {
      return new ObjectWalRecovery(proof, medium, { start: committedEnd + 1, end: committedEnd, newest: 0 });
    }
    throw new WalMismatchError(
      `the recovery of node ${owner.nodeId} was committed up to group ${committedEnd}, its log is trimmed up to ` +
        `${trimmedUpTo}: the two are not of the same log; give the end of epoch ${record.logEpoch}`,
    );
  }
  const store = retrying(medium);
  const listed = await listGroups(store, record);
  // Whoever deletes says so in the fence first: unchanged, it proves that the list is whole.
  checkFencedBy(await new WalFence(medium.env, store, owner).read(), by);
  return new ObjectWalRecovery(proof, medium, listed);
}

interface Listed {
  readonly start: number;
  /** Before the first gap. */
  readonly end: number;
  /** The last one there is, behind gaps; 0 for none. */
  readonly newest: number;
}

/**
 * What a log holds after its writer was fenced: the groups from the trim point to the first gap.
 *
 * Groups are acknowledged in order, so what follows a put that never landed was not acknowledged. Recovery refuses
 * with {@link CorruptionError} when a missing group provably was: the fence, or the newest object, says so.
 */
export class ObjectWalRecovery {
  readonly proof: FenceProof;
  readonly owner: LogOwner;
  /** The epoch that wrote the log; 0 when there was none. */
  readonly nodeEpoch: number;
  /** The first group that is not trimmed. */
  readonly startSequence: number;
  readonly #env: Env;
  readonly #store: RetryingStore;
  readonly #listed: Listed;
  readonly #log: LogIdentity;
  #isRead = false;

  constructor(proof: FenceProof, medium: ObjectWalMedium, listed: Listed) {
    const { record } = proof;
    this.proof = proof;
    this.owner = proof.owner;
    this.nodeEpoch = record.logEpoch;
    this.startSequence = listed.start;
    this.#env = medium.env;
    this.#store = retrying(medium);
    this.#listed = listed;
    this.#log = { ...proof.owner, nodeEpoch: record.logEpoch, logId: Buffer.from(record.logId, 'hex') };
  }

  /**
   * The newest group, or the one before the first when there is none. Known once {@link groups} was read to its end;
   * the entry that commits the recovery names it.
   */
  get endSequence(): number {
    invariant(this.#isRead, 'I28', 'a log restarts only after it was read to its end');
    return this.#listed.end;
  }

  /**
   * The groups in sequence order. May be called again and gives the same; another attempt gives the same and perhaps
   * some more that landed meanwhile, none of them acknowledged (I29).
   * @throws {CorruptionError} (from the iterator) an object is damaged, or what is missing was acknowledged
   * @throws {WalFenceLostError} (from the iterator) another attempt, or the node itself, has deleted what it recovered
   */
  async *groups(): AsyncGenerator<RecoveredGroup, void> {
    const { start, end } = this.#listed;
    const reads: Promise<StoredGroup>[] = [];
    let next = start;
    let bytes = 0;
    for (let sequence = start; sequence <= end; sequence++) {
      for (; next <= end && reads.length < READS_IN_FLIGHT; next++) {
        const read = this.#read(next);
        // Awaited below, unless the reader stops first.
        read.catch(() => undefined);
        reads.push(read);
      }
      const group = await reads.shift();
      invariant(group?.sequence === sequence, 'I29', 'groups are handed out in order', { sequence });
      yield { sequence, entries: group.entries };
      bytes += group.entries.reduce((sum, entry) => sum + entry.bytes.length, 0);
    }
    const isTorn = await this.#judgeEnd();
    this.#isRead = true;
    this.#env.events.info('wal.recovered', {
      nodeEpoch: this.nodeEpoch,
      groups: end - start + 1,
      bytes,
      endSequence: end,
      isTorn,
    });
  }

  /**
   * Deletes what the log holds, once the recovery is committed: then nobody reads it twice. Not needed when the node
   * itself starts again: its claim does the same.
   * @throws {WalFenceLostError} another attempt or the node itself has the log; nothing was deleted
   */
  async discard(): Promise<void> {
    const { start } = this.#listed;
    const end = this.endSequence;
    await new WalFence(this.#env, this.#store, this.owner).swap((current) => {
      checkFencedBy(current, this.proof.by);
      if (current === undefined || current.trimmedUpTo >= end) return undefined;
      return { trimmedUpTo: end, ackedUpTo: Math.max(end, current.ackedUpTo) };
    });
    await deleteGroups({ store: this.#store, ...this.owner, nodeEpoch: this.nodeEpoch }, start, end);
  }

  /** Whether puts were under way at the end. @throws {CorruptionError} */
  async #judgeEnd(): Promise<boolean> {
    const { end, newest } = this.#listed;
    const { ackedUpTo } = this.proof.record;
    if (ackedUpTo > end) {
      throw this.#lost(`its fence says that groups up to ${ackedUpTo} were acknowledged`);
    }
    if (newest <= end) return false;
    // The newest knows most: what objects say only rises.
    const witness = await this.#read(newest);
    if (witness.ackedUpTo > end) {
      throw this.#lost(
        `group ${newest} is there and says that groups up to ${witness.ackedUpTo} were acknowledged`,
      );
    }
    return true;
  }

  #lost(evidence: string): CorruptionError {
    const missing = this.#listed.end + 1;
    return new CorruptionError(
      `group ${missing} is missing (${groupKey(this.owner.nodeId, this.nodeEpoch, missing)}), but ${evidence}. Nothing ` +
        'was changed; restore the object from a bucket version, and take away what deletes under wal/',
    );
  }

  async #read(sequence: number): Promise<StoredGroup> {
    const key = groupKey(this.owner.nodeId, this.nodeEpoch, sequence);
    for (let attempt = 1; ; attempt++) {
      const stored = await this.#store.get(key);
      if (stored === undefined) {
        checkFencedBy(await new WalFence(this.#env, this.#store, this.owner).read(), this.proof.by);
        throw new CorruptionError(
          `${key} was listed and is gone, and nobody of ours deleted it; restore it from a bucket version`,
        );
      }
      try {
        return decodeGroup(stored.body, key, this.#log, sequence);
      } catch (error) {
        if (!(error instanceof CorruptionError) || attempt >= READ_ATTEMPTS) throw error;
        this.#env.events.warn('wal.read-again', { key, attempt, cause: error.message });
      }
    }
  }
}

async function listGroups(store: RetryingStore, fence: FenceRecord): Promise<Listed> {
  const { nodeId, logEpoch, trimmedUpTo } = fence;
  const listed = { start: trimmedUpTo + 1, end: trimmedUpTo, newest: 0 };
  if (logEpoch === 0) return listed;
  let after: string | undefined = groupKey(nodeId, logEpoch, trimmedUpTo);
  while (after !== undefined) {
    const page = await store.list(epochPrefix(nodeId, logEpoch), { after });
    for (const { key } of page.objects) {
      const sequence = parseGroupKey(key)?.sequence;
      if (sequence === undefined) {
        throw new CorruptionError(`${key} is none of a WAL's keys; move foreign objects out of wal/`);
      }
      if (sequence === listed.end + 1) listed.end = sequence;
      listed.newest = sequence;
    }
    after = page.next;
  }
  return listed;
}

function retrying({ env, objects, signal }: ObjectWalMedium): RetryingStore {
  return new RetryingStore(env, objects, signal ?? new AbortController().signal, 'wal');
}
