import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { OptionError } from './options.ts';

/** Of its hash: enough to tell two builds apart. */
const SHORT_HASH = 12;

/** A broker that a twin can run instead of the code beside it: what `npm run build` made, here or elsewhere. */
export interface Bundle {
  /** Absolute. */
  readonly file: string;
  /** For people: the name of the file and the beginning of its SHA-256. */
  readonly name: string;
}

/** @throws {OptionError} no file, or none that `npm run build` makes */
export function readBundle(file: string): Bundle {
  const absolute = path.resolve(file);
  checkBundle(absolute);
  const hash = createHash('sha256').update(readFileSync(absolute)).digest('hex');
  return { file: absolute, name: `${path.basename(absolute)} ${hash.slice(0, SHORT_HASH)}` };
}

/** @throws {OptionError} */
export function checkBundle(file: string): void {
  const allowed = 'allowed: a broker bundle, dist/millrace-broker.mjs as npm run build makes it';
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new OptionError(`got ${file}, which cannot be read (${(error as Error).message}), ${allowed}`);
  }
  // It is loaded by a broker's process only: what it exports is looked for in its text.
  if (!path.isAbsolute(file) || !/\brunBroker\b/.test(text)) throw new OptionError(`got ${file}, ${allowed}`);
}
