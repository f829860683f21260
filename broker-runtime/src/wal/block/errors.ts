import { CorruptionError } from '../../base/errors.ts';

/** Where damage stands: enough to find the bytes with `dd` and to say what is at stake. */
export interface WalDamage {
  readonly device: string;
  /** Absolute position in the log of that device; {@link deviceOffset} is the same place on the device. */
  readonly position: number;
  readonly deviceOffset: number;
  readonly lengthBytes: number;
}

/**
 * The log is damaged where it must not be (protocol 3.5 step 4): what is missing was acknowledged. Recovery
 * stops, a person decides; nothing is truncated.
 */
export class WalCorruptionError extends CorruptionError {
  readonly damage: WalDamage;

  constructor(what: string, damage: WalDamage, options?: { cause?: unknown }) {
    super(
      `${what}: device ${damage.device}, position ${damage.position}, ${damage.lengthBytes} bytes at device offset ` +
        `${damage.deviceOffset}. Nothing was changed; keep the device and restore it from a snapshot or copy it before any repair`,
      options,
    );
    this.damage = damage;
  }
}
