import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { createRequire } from 'node:module';
import { CompressionCodecs, CompressionTypes } from 'kafkajs';

interface SnappyModule {
  compress(input: Buffer): Promise<Buffer>;
  uncompress(input: Buffer): Promise<Buffer>;
}
interface Lz4Module {
  compressFrame(input: Buffer): Promise<Buffer>;
  decompressFrame(input: Buffer): Promise<Buffer>;
}

const load = createRequire(import.meta.filename);

/** kafkajs brings gzip alone; these give it the other three, with codecs that are not the broker's own. */
export function kafkajsCodecs(): Record<'gzip' | 'snappy' | 'lz4' | 'zstd', CompressionTypes> {
  const snappy = load('snappy') as SnappyModule;
  const lz4 = load('lz4-napi') as Lz4Module;
  CompressionCodecs[CompressionTypes.Snappy] = () => ({
    compress: (encoder: { buffer: Buffer }) => snappy.compress(encoder.buffer),
    decompress: (buffer: Buffer) => snappy.uncompress(buffer),
  });
  CompressionCodecs[CompressionTypes.LZ4] = () => ({
    compress: (encoder: { buffer: Buffer }) => lz4.compressFrame(encoder.buffer),
    decompress: (buffer: Buffer) => lz4.decompressFrame(buffer),
  });
  CompressionCodecs[CompressionTypes.ZSTD] = () => ({
    compress: async (encoder: { buffer: Buffer }) => zstdCompressSync(encoder.buffer),
    decompress: async (buffer: Buffer) => zstdDecompressSync(buffer),
  });
  return {
    gzip: CompressionTypes.GZIP,
    snappy: CompressionTypes.Snappy,
    lz4: CompressionTypes.LZ4,
    zstd: CompressionTypes.ZSTD,
  };
}
