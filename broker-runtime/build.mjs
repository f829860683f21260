/**
 * Bundles the broker into one file, dist/millrace-broker.mjs, the same for arm64 and x64. The native CRC32C stays
 * outside: the broker uses it where it is installed and its own code where it is not.
 */
import { build } from 'esbuild';
import { fileURLToPath } from 'node:url';
import path from 'node:path';

const here = path.dirname(fileURLToPath(import.meta.url));

const result = await build({
  entryPoints: [path.join(here, 'src', 'main.ts')],
  outfile: path.join(here, 'dist', 'millrace-broker.mjs'),
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  external: ['@node-rs/crc32'],
  // CommonJS dependencies inside an ES module bundle need a `require`.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  legalComments: 'linked',
  minifySyntax: true,
  metafile: true,
  logLevel: 'warning',
});

const [output] = Object.entries(result.metafile.outputs).filter(([name]) => name.endsWith('.mjs'));
console.log(
  `${path.relative(process.cwd(), path.join(here, 'dist', 'millrace-broker.mjs'))} ${output[1].bytes} bytes`,
);
