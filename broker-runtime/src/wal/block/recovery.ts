import { CorruptionError, invariant } from '../../base/errors.ts';
import type { BlockDevice } from '../../ports/block-device.ts';
import type { Env } from '../../ports/env.ts';
import { checkWriterIsGone, type WriterIsGone } from '../fence.ts';
import { readEntries } from '../groups/entry-layout.ts';
import type { LogOwner } from '../log-owner.ts';
import type { RecoveredGroup, WalEntry } from '../wal.ts';
import type { SuperblockHome } from './checkpointer.ts';
import { WalCorruptionError, type WalDamage } from './errors.ts';
import { readHomes } from './format.ts';
import { DeviceScan, type ScannedGroup } from './scan.ts';

/**
 * Opens a log for reading. `writer` proves that nobody writes to it any more: the medium is fenced before the
 * first read (I30, protocol 3.5 step 3), or the old process has exited (3.4 step 1). Writes nothing.
 * @throws {WalMismatchError} the devices are somebody else's, incomplete, blank, or of another size
 * @throws {WalCorruptionError} no superblock can be read
 * @throws {BlockDeviceError}
 */
export async function recoverBlockWal(
  devices: readonly BlockDevice[],
  owner: LogOwner,
  env: Env,
  writer: WriterIsGone,
): Promise<BlockWalRecovery> {
  checkWriterIsGone(devices, writer);
  return new BlockWalRecovery(devices, owner, await readHomes(devices, owner, env), env);
}

/**
 * What a log holds after its writer is gone.
 *
 * The end of the log is where the first group is missing. A crash leaves that, and so does damage; they are told
 * apart by what was acknowledged (protocol 3.5 step 4). Groups are acknowledged in order, so after a torn tail
 * nothing was. Recovery refuses with {@link WalCorruptionError} when the missing group is provably acknowledged:
 *
 *   - a later group, or a superblock, says so: each carries the newest sequence acknowledged when it was written
 *   - a later group is further on than groups may be under way at once
 *
 * What stays unproven: groups acknowledged since the last superblock (an interval at most) with no later group that
 * tells. If the device loses exactly those, their loss looks like a torn tail. A log that was closed, or idle for
 * an interval, proves all of it.
 */
export class BlockWalRecovery {
  readonly devices: readonly BlockDevice[];
  readonly owner: LogOwner;
  readonly homes: readonly SuperblockHome[];
  readonly logId: Uint8Array;
  /** The epoch with which the log was opened last; 0 when it never was. */
  readonly nodeEpoch: number;
  /** The first group that is not trimmed. */
  readonly startSequence: number;
  readonly #env: Env;
  readonly #ackedUpTo: number;
  readonly #windowGroups: number;
  #endSequence: number | undefined;

  constructor(devices: readonly BlockDevice[], owner: LogOwner, homes: readonly SuperblockHome[], env: Env) {
    const newest = homes.map((home) => home.newest);
    const [first] = newest;
    invariant(first !== undefined, 'wal', 'a log has at least one device');
    this.devices = devices;
    this.owner = owner;
    this.homes = homes;
    this.logId = first.logId;
    this.nodeEpoch = Math.max(...newest.map((superblock) => superblock.nodeEpoch));
    const current = newest.filter((superblock) => superblock.nodeEpoch === this.nodeEpoch);
    this.startSequence = Math.max(...current.map((superblock) => superblock.startSequence));
    this.#ackedUpTo = Math.max(...current.map((superblock) => superblock.ackedUpTo));
    this.#windowGroups = Math.max(...current.map((superblock) => superblock.windowGroups));
    this.#env = env;
  }

  /** The newest group, or the one before the first when there is none. Known once {@link groups} was read to its end. */
  get endSequence(): number {
    invariant(this.#endSequence !== undefined, 'I28', 'a log restarts only after it was read to its end');
    return this.#endSequence;
  }

  /**
   * The groups in sequence order. May be called again, also in another process, and gives the same (I29).
   * @throws {WalCorruptionError} (from the iterator) after the groups before the damage were handed out
   * @throws {BlockDeviceError} (from the iterator)
   */
  async *groups(): AsyncGenerator<RecoveredGroup, void> {
    const scans = this.homes
      // A crash while the log was opened leaves devices of the epoch before: all they hold is in objects.
      .filter((home) => home.newest.nodeEpoch === this.nodeEpoch)
      .map((home) => new DeviceScan(home, this.nodeEpoch));
    const merge = new StripeMerge(scans, this.startSequence);
    let bytes = 0;
    let sequence = this.startSequence;
    for (let next = await merge.next(); next !== undefined; next = await merge.next()) {
      if (scans.length < this.homes.length) {
        throw new WalCorruptionError(
          `group ${sequence} was written before all superblocks of the set name epoch ${this.nodeEpoch}: ` +
            'writes of superblocks were lost',
          next.damage,
        );
      }
      yield { sequence, entries: entriesOf(next) };
      bytes += next.payload.length;
      sequence++;
    }
    const isTorn = await this.#judgeEnd(sequence, merge);
    this.#endSequence = sequence - 1;
    this.#env.events.info('wal.recovered', {
      nodeEpoch: this.nodeEpoch,
      groups: sequence - this.startSequence,
      bytes,
      endSequence: this.#endSequence,
      isTorn,
    });
  }

  /** Whether writes were under way at the end. @throws {WalCorruptionError} */
  async #judgeEnd(missing: number, merge: StripeMerge): Promise<boolean> {
    await merge.readOn();
    const { newestSequence, ackedUpTo, ackedUpToSource } = merge;
    if (this.#ackedUpTo >= missing) {
      throw new WalCorruptionError(
        `group ${missing} is missing, but a superblock says that groups up to ${this.#ackedUpTo} were acknowledged`,
        merge.damageOf(missing),
      );
    }
    if (ackedUpTo >= missing) {
      throw new WalCorruptionError(
        `group ${missing} is missing, but group ${ackedUpToSource} says that groups up to ${ackedUpTo} were acknowledged`,
        merge.damageOf(missing),
      );
    }
    // Follows from the above for headers our writer wrote; kept apart because it holds without trusting them.
    if (newestSequence >= missing + this.#windowGroups) {
      throw new WalCorruptionError(
        `group ${missing} is missing, but group ${newestSequence} is there and at most ${this.#windowGroups} are ` +
          'ever under way',
        merge.damageOf(missing),
      );
    }
    return newestSequence >= missing;
  }
}

type IntactGroup = ScannedGroup & { readonly payload: Uint8Array };

/** Merges the devices' groups into the one order of their sequence, and remembers what all headers said. */
class StripeMerge {
  newestSequence = 0;
  ackedUpTo = 0;
  ackedUpToSource = 0;
  readonly #scans: readonly DeviceScan[];
  /** The next intact group of each device that is not handed out. */
  readonly #heads: (IntactGroup | undefined)[];
  readonly #damaged: ScannedGroup[] = [];
  #started = false;
  #expected: number;

  constructor(scans: readonly DeviceScan[], startSequence: number) {
    this.#scans = scans;
    this.#heads = scans.map(() => undefined);
    this.#expected = startSequence;
  }

  /** The group with the next sequence; undefined when it is missing. */
  async next(): Promise<IntactGroup | undefined> {
    if (!this.#started) {
      this.#started = true;
      await Promise.all(this.#scans.map((_, index) => this.#advance(index)));
    }
    const index = this.#heads.findIndex((head) => head?.header.sequence === this.#expected);
    const found = this.#heads[index];
    if (found === undefined) return undefined;
    this.#expected++;
    await this.#advance(index);
    return found;
  }

  /** Reads to the end of what can matter, for the evidence alone. */
  async readOn(): Promise<void> {
    await Promise.all(
      this.#scans.map(async (_, index) => {
        while (this.#heads[index] !== undefined) await this.#advance(index);
      }),
    );
  }

  /** Where the missing group was, as far as one can tell. */
  damageOf(sequence: number): WalDamage {
    const found =
      this.#damaged.find((group) => group.header.sequence === sequence)?.damage ??
      this.#scans.flatMap((scan) => scan.gaps)[0] ??
      this.#scans[0]?.tail;
    invariant(found !== undefined, 'wal', 'a log has at least one device');
    return found;
  }

  async #advance(index: number): Promise<void> {
    const scan = this.#scans[index];
    const before = this.#heads[index]?.header.sequence ?? 0;
    this.#heads[index] = undefined;
    for (let group = await scan?.next(); group !== undefined; group = await scan?.next()) {
      const { sequence, ackedUpTo } = group.header;
      if (sequence <= before) {
        throw new WalCorruptionError(`group ${sequence} follows group ${before}`, group.damage);
      }
      this.newestSequence = Math.max(this.newestSequence, sequence);
      if (ackedUpTo > this.ackedUpTo) {
        this.ackedUpTo = ackedUpTo;
        this.ackedUpToSource = sequence;
      }
      const { payload } = group;
      if (payload === undefined) this.#damaged.push(group);
      // Below the start: trimmed, on a device whose superblock was not written any more.
      else if (sequence >= this.#expected) {
        this.#heads[index] = { ...group, payload };
        return;
      }
    }
  }
}

function entriesOf({ payload, header, damage }: IntactGroup): WalEntry[] {
  try {
    return readEntries(payload, header.entryCount);
  } catch (cause) {
    const why = cause instanceof CorruptionError || cause instanceof Error ? cause.message : String(cause);
    throw new WalCorruptionError(
      `group ${header.sequence} has a right checksum, but its entries make no sense: ${why}`,
      damage,
      { cause },
    );
  }
}
