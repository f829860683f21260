import { describe, expect, test } from '@jest/globals';
import { MessageReader, MessageWriter, joinPieces } from '../../broker-runtime/src/wire/codec.ts';

/**
 * Regression, class "memory replaced within an expression": `view.setInt16(reserve(2), value)` took the old view
 * before `reserve` grew the memory, and the field was lost or written out of bounds.
 */
describe('a message writer whose memory grows', () => {
  const fields = {
    int8: (writer: MessageWriter) => writer.int8(-7),
    int16: (writer: MessageWriter) => writer.int16(-7),
    int32: (writer: MessageWriter) => writer.int32(-7),
    int64: (writer: MessageWriter) => writer.int64(-7),
    text: (writer: MessageWriter) => writer.text(false, 'text'),
    raw: (writer: MessageWriter) => writer.raw(new Uint8Array([1, 2, 3, 4])),
  } as const;

  test.each(Object.entries(fields))('keeps an %s across every boundary', (_name, write) => {
    const bytesOf = (initialBytes: number, filler: number): Buffer => {
      const writer = new MessageWriter(initialBytes);
      for (let count = 0; count < filler; count++) writer.int8(count);
      write(writer);
      const { pieces, sizeBytes } = writer.finish();
      return Buffer.from(joinPieces(pieces, sizeBytes));
    };
    for (let filler = 0; filler < 12; filler++) expect(bytesOf(8, filler)).toEqual(bytesOf(512, filler));
  });

  test('keeps a varint that begins before the boundary and ends after it', () => {
    const writer = new MessageWriter(1);
    writer.unsignedVarint(300_000);
    const { pieces, sizeBytes } = writer.finish();
    expect([...joinPieces(pieces, sizeBytes)]).toEqual([0xe0, 0xa7, 0x12]);
    expect(new MessageReader(joinPieces(pieces, sizeBytes)).remaining).toBe(3);
  });
});
