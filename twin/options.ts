import path from 'node:path';
import { MillraceError } from '../broker-runtime/src/base/errors.ts';
import type { BrokerConfig } from '../broker-runtime/src/main/broker-config.ts';

/** An option on the command line that cannot be used as given: what, got, allowed. */
export class OptionError extends MillraceError {
  readonly code = 'OPTION';
}

export type StoreLocation =
  | { readonly kind: 'files'; readonly directory: string }
  | { readonly kind: 's3'; readonly bucket: string; readonly prefix: string };

export function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535) throw new OptionError(`got "${text}", allowed: 0 to 65535`);
  return port;
}

/** Which generation of the cluster: see `millrace promote`. */
export function parseGeneration(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new OptionError(`got "${text}", allowed: a whole number from 0 on`);
  return Number(text);
}

/** As many as there are letters for zones that people tell apart, and processes that a big machine bears. */
export const MAX_ZONES = 6;
export const MAX_BROKERS_PER_ZONE = 8;

export function parseCount(max: number): (text: string) => number {
  return (text) => {
    const count = Number(text);
    if (!/^\d+$/.test(text) || count < 1 || count > max) {
      throw new OptionError(`got "${text}", allowed: 1 to ${max}`);
    }
    return count;
  };
}

const UNIT_BYTES: Readonly<Record<string, number>> = {
  '': 1,
  KIB: 1024,
  MIB: 1024 ** 2,
  GIB: 1024 ** 3,
};

/** `512MiB`, `2GiB`, `4096`. */
export function parseBytes(text: string): number {
  const match = /^(\d+)\s*([KMG]iB)?$/i.exec(text);
  const unitBytes = UNIT_BYTES[(match?.[2] ?? '').toUpperCase()];
  if (match === null || unitBytes === undefined) {
    throw new OptionError(`got "${text}", allowed: a whole number of bytes, KiB, MiB or GiB, such as 512MiB`);
  }
  return Number(match[1]) * unitBytes;
}

/** A folder, or `s3://BUCKET/PREFIX`. The prefix keeps several clusters apart in one bucket. */
export function parseStore(text: string): StoreLocation {
  const [scheme] = /^[a-z0-9]+:\/\//i.exec(text) ?? [];
  if (scheme === undefined) return { kind: 'files', directory: text };
  const match = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*?))?\/*$/.exec(text);
  if (match === null) {
    throw new OptionError(
      `got "${text}", allowed: a folder, or s3://BUCKET/PREFIX with a bucket name of 3 to 63 characters`,
    );
  }
  return { kind: 's3', bucket: match[1] ?? '', prefix: match[2] ?? '' };
}

export function parseSetting(text: string): Record<string, string> {
  const at = text.indexOf('=');
  if (at <= 0) throw new OptionError(`got "${text}", allowed: NAME=VALUE, such as num.partitions=4`);
  return { [text.slice(0, at).trim()]: text.slice(at + 1).trim() };
}

/** A quantity that may be a fraction, such as 0.5. */
export function parseAmount(text: string): number {
  if (!/^\d+(\.\d+)?$/.test(text))
    throw new OptionError(`got "${text}", allowed: a number, such as 10 or 0.5`);
  return Number(text);
}

/** The options of commands that open an object store. */
export interface StoreOptions {
  readonly store?: StoreLocation;
  readonly storeEndpoint?: string;
  readonly storeRegion?: string;
  readonly generation: number;
}

/** `standard` is the folder that is meant when none is named. */
export function storeConfig(
  { store, storeEndpoint: endpoint, storeRegion: region, generation }: StoreOptions,
  standard: string,
): BrokerConfig['store'] {
  const location = store ?? { kind: 'files', directory: standard };
  if (location.kind === 'files')
    return { kind: 'files', directory: path.resolve(location.directory), generation };
  return {
    ...location,
    generation,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
  };
}
