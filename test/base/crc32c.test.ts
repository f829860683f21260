import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { buildSync } from 'esbuild';
import fc from 'fast-check';
import {
  combineCrc32c,
  crc32c,
  crc32cPure,
  extendCrc32c,
  isCrc32cNative,
} from '../../broker-runtime/src/base/crc32c.ts';

const SOURCE = path.join(__dirname, '../../broker-runtime/src/base/crc32c.ts');

describe.each([
  ['crc32c', crc32c],
  ['crc32cPure', crc32cPure],
])('%s', (_name, crc) => {
  // RFC 3720 B.4, and the check value of the CRC catalogue.
  test.each([
    ['nothing', new Uint8Array(0), 0],
    ['"123456789"', new TextEncoder().encode('123456789'), 0xe306_9283],
    ['32 bytes of zeros', new Uint8Array(32), 0x8a91_36aa],
    ['32 bytes of ones', new Uint8Array(32).fill(0xff), 0x62a8_ab43],
    ['0 to 31', Uint8Array.from({ length: 32 }, (_, n) => n), 0x46dd_794e],
    ['31 to 0', Uint8Array.from({ length: 32 }, (_, n) => 31 - n), 0x113f_db5c],
  ])('gives the published value of %s', (_what, bytes, expected) => {
    expect(crc(bytes)).toBe(expected);
  });

  test('chains over pieces cut anywhere, also unaligned views', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), fc.nat(600), fc.nat(15), (bytes, cut, shift) => {
        const memory = new Uint8Array(bytes.length + shift);
        memory.set(bytes, shift);
        const view = memory.subarray(shift);
        expect(crc(view.subarray(cut), crc(view.subarray(0, cut)))).toBe(crc(bytes));
      }),
    );
  });
});

test('the CRC of two pieces is made from the CRC of each, however long they are', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 5000 }), fc.nat(5000), (bytes, cut) => {
      const [a, b] = [bytes.subarray(0, cut), bytes.subarray(cut)];
      expect(combineCrc32c(crc32c(a), crc32c(b), b.length)).toBe(crc32c(bytes));
      expect(extendCrc32c(crc32c(a), b, crc32c(b))).toBe(extendCrc32c(crc32c(a), b, undefined));
    }),
  );
  const long = new Uint8Array(3 * 1024 * 1024 + 1).fill(0xa5);
  expect(combineCrc32c(0x1234_5678, crc32c(long), long.length)).toBe(crc32c(long, 0x1234_5678));
});

test('the native and the pure function agree on every view of any memory', () => {
  expect(isCrc32cNative).toBe(true);
  const memory = new Uint8Array(new SharedArrayBuffer(4096));
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.nat(40),
      fc.integer({ min: 0, max: 0xffff_ffff }),
      (bytes, at, seed) => {
        memory.set(bytes, at);
        const view = memory.subarray(at, at + bytes.length);
        expect(crc32cPure(view, seed)).toBe(crc32c(view, seed));
      },
    ),
  );
});

test.each(['esm', 'cjs'] as const)('a bundle (%s) without the native package computes the same', (format) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'crc32c-'));
  try {
    const bundle = path.join(folder, format === 'esm' ? 'bundle.mjs' : 'bundle.cjs');
    const main = `import { crc32c, isCrc32cNative } from ${JSON.stringify(SOURCE)};
      console.log(JSON.stringify([isCrc32cNative, crc32c(new TextEncoder().encode('123456789'))]));`;
    writeFileSync(path.join(folder, 'main.mjs'), main);
    buildSync({
      entryPoints: [path.join(folder, 'main.mjs')],
      outfile: bundle,
      bundle: true,
      platform: 'node',
      format,
      logLevel: 'error',
      ...(format === 'cjs' ? { define: { 'import.meta.url': '__filename' } } : {}),
    });
    const printed = execFileSync(process.execPath, [bundle], { encoding: 'utf8', cwd: folder });
    expect(JSON.parse(printed)).toEqual([false, 0xe306_9283]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
