import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { lz4Compress } from '@platformatic/wasm-utils/bundled';
import { MillraceError } from '../../base/errors.ts';
import { CompressionType } from './batch-header.ts';
import { OutputLimitError } from './inflate-output.ts';
import { lz4Decompress } from './lz4.ts';
import { snappyCompress, snappyDecompress } from './snappy.ts';

/**
 * No batch inflates to more: 64 times Kafka's default max.message.bytes. What comes from a producer can claim any
 * size, so every decoder stops at the limit instead of finding out.
 */
export const MAX_DECOMPRESSED_BYTES = 64 * 1024 * 1024;

/** Compressed bytes that are broken, of an unknown kind, or too large when inflated. */
export class DecompressionError extends MillraceError {
  readonly code: string = 'DECOMPRESSION';
}

/** They may be in order, and inflate to more than is allowed. */
export class InflatesTooFarError extends DecompressionError {
  override readonly code = 'INFLATES_TOO_FAR';
}

/** @throws {DecompressionError} {InflatesTooFarError} */
export function decompress(
  compression: number,
  bytes: Uint8Array,
  maxBytes = MAX_DECOMPRESSED_BYTES,
): Uint8Array {
  if (compression === CompressionType.none) return bytes;
  try {
    switch (compression) {
      case CompressionType.gzip:
        return gunzipSync(bytes, { maxOutputLength: maxBytes });
      case CompressionType.snappy:
        return snappyDecompress(bytes, maxBytes);
      case CompressionType.lz4:
        return lz4Decompress(bytes, maxBytes);
      case CompressionType.zstd:
        return zstdDecompressSync(bytes, { maxOutputLength: maxBytes });
    }
  } catch (error) {
    if (isBeyond(error, maxBytes)) {
      throw new InflatesTooFarError(
        `${bytes.length} bytes of compression type ${compression} inflate to more than ${maxBytes} bytes`,
        { cause: error },
      );
    }
    const reason = error instanceof Error ? error.message : String(error);
    throw new DecompressionError(
      `${bytes.length} bytes of compression type ${compression} do not inflate: ${reason}`,
      { cause: error },
    );
  }
  throw new DecompressionError(`compression type ${compression} is not known; 0 to 4 are`);
}

/** The limit that was given, not a size that the bytes claim themselves and do not keep. */
function isBeyond(error: unknown, maxBytes: number): boolean {
  if (error instanceof OutputLimitError) return error.maxBytes >= maxBytes;
  // By shape: errors of Node's own modules are of another realm in a VM context.
  return (
    typeof error === 'object' && error !== null && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE'
  );
}

/** For batches the broker makes anew: compaction and its own topics. Synchronous, as measured best up to 64 KiB. */
export function compress(compression: CompressionType, bytes: Uint8Array): Uint8Array {
  switch (compression) {
    case CompressionType.none:
      return bytes;
    case CompressionType.gzip:
      return gzipSync(bytes);
    case CompressionType.snappy:
      return snappyCompress(bytes);
    case CompressionType.lz4:
      return lz4Compress(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    case CompressionType.zstd:
      return zstdCompressSync(bytes);
  }
}
