import { ByteWriter } from '../../base/bytes.ts';

/** A record before it has a batch. */
export interface NewRecord {
  /** Absolute; at least the batch's base offset, ascending. */
  readonly offset: number;
  readonly timestampMs: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers?: readonly { readonly key: string; readonly value: Uint8Array | null }[];
}

/** The uncompressed payload of a batch; the grammar stands above `RecordCursor`. */
export function writeRecords(
  records: readonly NewRecord[],
  baseOffset: number,
  baseTimestampMs: number,
): Uint8Array {
  const writer = new ByteWriter(1024);
  for (const record of records) {
    const timestampDelta = record.timestampMs - baseTimestampMs;
    const offsetDelta = record.offset - baseOffset;
    const headers = (record.headers ?? []).map(({ key, value }) => ({ key: Buffer.from(key), value }));
    let length =
      1 +
      varlongBytes(timestampDelta) +
      varlongBytes(offsetDelta) +
      fieldBytes(record.key) +
      fieldBytes(record.value) +
      varlongBytes(headers.length);
    for (const header of headers) length += fieldBytes(header.key) + fieldBytes(header.value);
    varlong(writer, length);
    writer.int8(0);
    varlong(writer, timestampDelta);
    varlong(writer, offsetDelta);
    field(writer, record.key);
    field(writer, record.value);
    varlong(writer, headers.length);
    for (const header of headers) {
      field(writer, header.key);
      field(writer, header.value);
    }
  }
  return writer.finish();
}

function field(writer: ByteWriter, bytes: Uint8Array | null): void {
  varlong(writer, bytes === null ? -1 : bytes.length);
  if (bytes !== null) writer.raw(bytes);
}

function fieldBytes(bytes: Uint8Array | null): number {
  return bytes === null ? varlongBytes(-1) : varlongBytes(bytes.length) + bytes.length;
}

/** Zigzag: 0, -1, 1, -2 become 0, 1, 2, 3, so that small numbers of either sign are short. */
function zigzag(value: number): number {
  return value < 0 ? -value * 2 - 1 : value * 2;
}

function varlong(writer: ByteWriter, value: number): void {
  let rest = zigzag(value);
  while (rest >= 0x80) {
    writer.uint8((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  writer.uint8(rest);
}

function varlongBytes(value: number): number {
  let length = 1;
  for (let rest = zigzag(value); rest >= 0x80; rest = Math.floor(rest / 0x80)) length++;
  return length;
}
