/**
 * A data object: everything one upload or one rewrite stores. Big-endian; ids, offsets and positions are 64-bit
 * (a peer lost data to a 32-bit offset delta); every unit has a magic, a version and a CRC-32C of its own.
 *
 *   object  = header block* index footer
 *
 *   header  = magic u32 "MRDO" · crc u32 of all that follows · version u16 · cluster id length u8 · 0 u8 ·
 *             writer node id i32 · object id i64 · writer epoch i64 · created at i64 (wall clock, ms) ·
 *             cluster id, 64 bytes of ASCII padded with zeros · 24 zero bytes                         (128 bytes)
 *
 *   block   = magic u32 "MRDB" · crc u32 of all that follows · version u16 · 0 u16 · entry count u32 ·
 *             object id i64 · position of the block i64 · stream id i64 · payload length i64           (48 bytes)
 *             entry*    = base offset i64 · max timestamp i64 · offset count u32 · length u32          (24 bytes)
 *             payload   = the bytes of the entries, back to back
 *
 *   index   = magic u32 "MRDI" · crc u32 of all that follows · version u16 · 0 u16 · block count u32 ·
 *             object id i64                                                                            (24 bytes)
 *             block ref* = stream id i64 · start offset i64 · end offset i64 · max timestamp i64 ·
 *                          position i64 · length i64 · crc u32 of the block · 0 u32                    (56 bytes)
 *
 *   footer  = magic u32 "MRDF" · crc u32 of all that follows · version u16 · 0 u16 · crc u32 of the index ·
 *             object id i64 · index position i64 · index length i64                                    (40 bytes)
 *
 * The entry table stands before the payload, so that a run of entries is one piece of memory and one element of a
 * vectored socket write (many small elements double the cost of a fetch). Block refs are sorted by stream, then
 * offset; blocks stand in the same order, so a stream's blocks are adjacent and one ranged GET fetches them.
 * The index holds the checksum of every block and the footer that of the index: equal footers, equal objects.
 */
export const HEADER_MAGIC = 0x4d52_444f;
export const BLOCK_MAGIC = 0x4d52_4442;
export const INDEX_MAGIC = 0x4d52_4449;
export const FOOTER_MAGIC = 0x4d52_4446;
export const FORMAT_VERSION = 1;

export const HEADER_BYTES = 128;
export const BLOCK_HEADER_BYTES = 48;
export const BLOCK_ENTRY_BYTES = 24;
export const INDEX_HEADER_BYTES = 24;
export const BLOCK_REF_BYTES = 56;
export const FOOTER_BYTES = 40;
export const CLUSTER_ID_MAX_BYTES = 64;

/** Every unit begins with magic and crc; the crc covers what comes after these. */
export const CRC_AT = 4;
export const CRC_COVERS_FROM = 8;

/** Who wrote an object, and when: makes a bucket readable without the metadata log. */
export interface ObjectIdentity {
  readonly clusterId: string;
  readonly objectId: number;
  readonly writerNodeId: number;
  readonly writerEpoch: number;
  readonly createdAtWallMs: number;
}

/** One line of the index: a block, the offsets it covers and where it stands. */
export interface BlockRef {
  readonly streamId: number;
  readonly startOffset: number;
  readonly endOffset: number;
  readonly maxTimestampMs: number;
  readonly position: number;
  readonly length: number;
  readonly crc: number;
}
