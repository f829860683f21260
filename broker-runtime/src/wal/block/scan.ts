import { crc32c } from '../../base/crc32c.ts';
import { DEVICE_BLOCK_BYTES } from '../../ports/block-device.ts';
import { alignUp } from '../groups/slabs.ts';
import type { SuperblockHome } from './checkpointer.ts';
import { WalCorruptionError, type WalDamage } from './errors.ts';
import { equalBytes } from './format.ts';
import { GROUP_HEADER_BYTES, readGroupHeader, type GroupHeader } from './group-layout.ts';
import { deviceOffset, ringBytesOf } from './ring.ts';

/** Large enough that a volume reads at full throughput, small enough to be allocated for a failover. */
const READ_BYTES = 1024 * 1024;

export interface ScannedGroup {
  readonly header: GroupHeader;
  readonly damage: WalDamage;
  /** Memory of its own; undefined when its checksum is wrong: torn or rotten. */
  readonly payload: Uint8Array | undefined;
}

/**
 * Reads the groups of one device in the order of their positions. Where no group begins it tries every 4 KiB from
 * there on: up to as many bytes as the groups under way at a crash can take, and one more that would prove damage.
 */
export class DeviceScan {
  readonly home: SuperblockHome;
  readonly ringBytes: number;
  /** Ranges between groups in which no group was found, and that are not the skipped end of a lap. */
  readonly gaps: WalDamage[] = [];
  readonly #nodeEpoch: number;
  readonly #lookAheadBytes: number;
  readonly #endPosition: number;
  readonly #buffer: Uint8Array;
  #bufferPosition = 0;
  #bufferedBytes = 0;
  #position: number;
  /** Where the last group found ends. */
  #lastEnd: number;

  constructor(home: SuperblockHome, nodeEpoch: number) {
    const { maxGroupBytes, windowGroups, startPosition } = home.newest;
    this.home = home;
    this.ringBytes = ringBytesOf(home.device.capacityBytes);
    this.#nodeEpoch = nodeEpoch;
    this.#lookAheadBytes = Math.min((windowGroups + 2) * maxGroupBytes, this.ringBytes);
    this.#endPosition = startPosition + this.ringBytes;
    this.#position = startPosition;
    this.#lastEnd = startPosition;
    this.#buffer = home.device.allocate(
      alignUp(Math.min(Math.max(READ_BYTES, maxGroupBytes), this.ringBytes)),
    );
  }

  /** What was read in vain after the last group. */
  get tail(): WalDamage {
    return this.#damage(this.#lastEnd, this.#position - this.#lastEnd);
  }

  /** @throws {WalCorruptionError} (rejects) the superblock is older than the groups @throws {BlockDeviceError} (rejects) */
  async next(): Promise<ScannedGroup | undefined> {
    for (;;) {
      const stopAt = Math.min(this.#lastEnd + this.#lookAheadBytes, this.#endPosition);
      if (this.#position >= stopAt) return undefined;
      const header = readGroupHeader(await this.#read(this.#position, DEVICE_BLOCK_BYTES), 0);
      if (header !== undefined && this.#isOurs(header)) return this.#take(header);
      this.#position += DEVICE_BLOCK_BYTES;
    }
  }

  async #take(header: GroupHeader): Promise<ScannedGroup> {
    const position = this.#position;
    const sizeBytes = alignUp(GROUP_HEADER_BYTES + header.payloadBytes);
    const damage = this.#damage(position, sizeBytes);
    if (
      sizeBytes > this.home.newest.maxGroupBytes ||
      sizeBytes > this.ringBytes - (position % this.ringBytes)
    ) {
      throw new WalCorruptionError(`group ${header.sequence} is larger than any group can be`, damage);
    }
    const bytes = await this.#read(position, sizeBytes);
    const payload = bytes.subarray(GROUP_HEADER_BYTES, GROUP_HEADER_BYTES + header.payloadBytes);
    const isIntact = crc32c(payload) === header.payloadCrc;
    const gapBytes = position - this.#lastEnd;
    const isLapEnd = position % this.ringBytes === 0 && gapBytes < sizeBytes;
    if (gapBytes > 0 && !isLapEnd) this.gaps.push(this.#damage(this.#lastEnd, gapBytes));
    this.#position = position + sizeBytes;
    this.#lastEnd = this.#position;
    return { header, damage, payload: isIntact ? payload.slice() : undefined };
  }

  /**
   * Not of another format of the device, nor of an older epoch, nor of an earlier lap, nor meant for another place.
   */
  #isOurs(header: GroupHeader): boolean {
    const { logId, nodeId, deviceIndex } = this.home.newest;
    if (!equalBytes(header.logId, logId) || header.nodeId !== nodeId || header.deviceIndex !== deviceIndex) {
      return false;
    }
    if (header.nodeEpoch > this.#nodeEpoch) {
      throw new WalCorruptionError(
        `a group of node epoch ${header.nodeEpoch} stands in a log whose superblocks know epoch ${this.#nodeEpoch}: ` +
          'writes of superblocks were lost',
        this.#damage(this.#position, DEVICE_BLOCK_BYTES),
      );
    }
    return header.nodeEpoch === this.#nodeEpoch && header.position === this.#position;
  }

  /** A view, valid until the next call, of `lengthBytes` that lie within one lap. Reads ahead. */
  async #read(position: number, lengthBytes: number): Promise<Uint8Array> {
    const isBuffered =
      position >= this.#bufferPosition &&
      position + lengthBytes <= this.#bufferPosition + this.#bufferedBytes;
    if (!isBuffered) {
      const lapLeftBytes = this.ringBytes - (position % this.ringBytes);
      const readBytes = Math.min(this.#buffer.length, lapLeftBytes, this.#endPosition - position);
      this.#bufferedBytes = 0;
      await this.home.device.read(
        deviceOffset(position, this.ringBytes),
        this.#buffer.subarray(0, readBytes),
      );
      this.#bufferPosition = position;
      this.#bufferedBytes = readBytes;
    }
    const at = position - this.#bufferPosition;
    return this.#buffer.subarray(at, at + lengthBytes);
  }

  #damage(position: number, lengthBytes: number): WalDamage {
    return {
      device: this.home.device.name,
      position,
      deviceOffset: deviceOffset(position, this.ringBytes),
      lengthBytes,
    };
  }
}
