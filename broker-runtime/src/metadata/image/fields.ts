import type { ByteReader, ByteWriter } from '../../base/bytes.ts';
import { readText, readUvarint, writeText, writeUvarint } from '../../base/varint.ts';
import type { BrokerRegistration } from '../cluster-metadata.ts';

/*
 * Fields that records and snapshots share; numbers are uvarints, texts their length and UTF-8:
 *
 *   uuid          16 bytes
 *   settings      count, then for each by name: name value
 *   registration  nodeId incarnationId walKind zone
 */
const UUID_BYTES = 16;

export function writeUuid(writer: ByteWriter, uuid: string): void {
  writer.raw(Buffer.from(uuid, 'base64url'));
}

export function readUuid(reader: ByteReader): string {
  return Buffer.from(reader.slice(UUID_BYTES)).toString('base64url');
}

export function writeSettings(writer: ByteWriter, settings: ReadonlyMap<string, string>): void {
  writeUvarint(writer, settings.size);
  for (const [name, value] of byKey(settings)) {
    writeText(writer, name);
    writeText(writer, value);
  }
}

export function readSettings(reader: ByteReader): ReadonlyMap<string, string> {
  const settings = new Map<string, string>();
  for (let left = readUvarint(reader); left > 0; left--) settings.set(readText(reader), readText(reader));
  return settings;
}

export function writeRegistration(writer: ByteWriter, registration: BrokerRegistration): void {
  writeUvarint(writer, registration.nodeId);
  writeText(writer, registration.incarnationId);
  writeText(writer, registration.walKind);
  writeText(writer, registration.zone);
}

export function readRegistration(reader: ByteReader): BrokerRegistration {
  const nodeId = readUvarint(reader);
  const incarnationId = readText(reader);
  const walKind = readText(reader);
  return { nodeId, incarnationId, walKind, zone: readText(reader) };
}

/** Entries in the order of keys, so that equal states are equal bytes (I20). */
export function byKey<K extends string | number, V>(map: ReadonlyMap<K, V>): readonly (readonly [K, V])[] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}
