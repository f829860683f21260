import { CorruptionError } from '../../base/errors.ts';
import { ByteReader, TruncatedError, UnsafeIntegerError } from '../../base/bytes.ts';
import { crc32c } from '../../base/crc32c.ts';
import { CRC_COVERS_FROM, FORMAT_VERSION } from './layout.ts';

/**
 * Checks what all units have in common (magic, checksum, version) and returns a reader that stands behind them.
 * @throws {CorruptionError} naming the unit, the object and what does not match
 */
export function openUnit(bytes: Uint8Array, magic: number, unit: string, where: string): ByteReader {
  return guarded(unit, where, () => {
    const reader = new ByteReader(bytes);
    const foundMagic = reader.uint32();
    if (foundMagic !== magic) {
      throw new CorruptionError(
        `${unit} of ${where} begins with 0x${foundMagic.toString(16)}, expected 0x${magic.toString(16)}`,
      );
    }
    const foundCrc = reader.uint32();
    const crc = crc32c(bytes.subarray(CRC_COVERS_FROM));
    if (crc !== foundCrc) {
      throw new CorruptionError(
        `${unit} of ${where} has checksum 0x${crc.toString(16)}, 0x${foundCrc.toString(16)} was stored`,
      );
    }
    const version = reader.uint16();
    if (version !== FORMAT_VERSION) {
      throw new CorruptionError(
        `${unit} of ${where} has format version ${version}, this program reads ${FORMAT_VERSION}: upgrade it first`,
      );
    }
    return reader;
  });
}

/** Turns "ran past the end" and "beyond 2^53" into the corruption they are evidence of. */
export function guarded<T>(unit: string, where: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof TruncatedError || error instanceof UnsafeIntegerError) {
      throw new CorruptionError(`${unit} of ${where}: ${error.message}`, { cause: error });
    }
    throw error;
  }
}
