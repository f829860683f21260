import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { inflateRawSync } from 'node:zlib';

/** A message as Kafka's own JSON describes it (clients/src/main/resources/common/message in its source). */
export interface KafkaMessage {
  readonly name: string;
  readonly type: string;
  readonly apiKey?: number;
  readonly validVersions: string;
  readonly flexibleVersions: string;
  readonly fields: readonly KafkaField[];
  readonly commonStructs?: readonly { readonly name: string; readonly fields: readonly KafkaField[] }[];
}

export interface KafkaField {
  readonly name: string;
  readonly type: string;
  /** Left out where it equals `taggedVersions`. */
  readonly versions?: string;
  readonly nullableVersions?: string;
  readonly taggedVersions?: string;
  readonly flexibleVersions?: string;
  readonly tag?: number;
  readonly default?: string | number | boolean | null;
  readonly ignorable?: boolean;
  readonly fields?: readonly KafkaField[];
}

const VERSION = '4.3.1';
const MAVEN = 'https://repo1.maven.org/maven2/org/apache/kafka';
/** Both carry the JSON files their code was generated from. */
const JARS = [
  { artifact: 'kafka-clients', sha256: '52501b7b47510c66f898871adaf6d2968ab7246561d44ced43643a8a587f0b36' },
  {
    artifact: 'kafka-group-coordinator',
    sha256: '4ab56d002e1624185c874199e9e0ffb243dbeb9f68b4d0cadf48ce2f617a1126',
  },
] as const;

/** The schemas in a folder of Kafka's JSON files. */
export function schemasInFolder(folder: string): Map<string, KafkaMessage> {
  const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
  return parseAll(files.map((name) => readFileSync(path.join(folder, name), 'utf8')));
}

/** The schemas in Kafka's jars, downloaded once into `cacheFolder` and checked against their known digests. */
export async function schemasInJars(cacheFolder: string): Promise<Map<string, KafkaMessage>> {
  const texts: string[] = [];
  for (const { artifact, sha256 } of JARS) {
    const file = path.join(cacheFolder, `${artifact}-${VERSION}.jar`);
    if (!existsSync(file)) {
      const url = `${MAVEN}/${artifact}/${VERSION}/${artifact}-${VERSION}.jar`;
      const response = await fetch(url);
      if (!response.ok) throw new Error(`${url}: HTTP ${response.status}`);
      mkdirSync(cacheFolder, { recursive: true });
      writeFileSync(file, Buffer.from(await response.arrayBuffer()));
    }
    const jar = readFileSync(file);
    const digest = createHash('sha256').update(jar).digest('hex');
    if (digest !== sha256)
      throw new Error(`${file} has SHA-256 ${digest}, ${sha256} was expected; delete it`);
    const found = jsonFilesInZip(jar);
    if (found.length === 0) throw new Error(`${file} holds no common/message/*.json`);
    texts.push(...found);
  }
  return parseAll(texts);
}

function parseAll(texts: readonly string[]): Map<string, KafkaMessage> {
  return new Map(
    texts.map((text) => {
      // Kafka's files are JSON with whole-line comments.
      const json = text.replace(/^\s*\/\/.*$/gm, '');
      const message = JSON.parse(json) as KafkaMessage;
      return [message.name, message];
    }),
  );
}

/**
 * Reads a zip file through its central directory (APPNOTE 4.3):
 *
 *   end of central directory = 'PK\5\6' .. +10 entries:le16 .. +16 directory position:le32
 *   directory entry = 'PK\1\2' .. +10 method:le16 .. +20 compressed:le32 .. +28 name, +30 extra, +32 comment
 *                     lengths:le16 .. +42 position of the local header:le32, +46 name
 *   local header    = 'PK\3\4' .. +26 name, +28 extra lengths:le16, +30 name extra data
 */
function jsonFilesInZip(zip: Buffer): string[] {
  const end = zip.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  const texts: string[] = [];
  let at = zip.readUInt32LE(end + 16);
  for (let left = zip.readUInt16LE(end + 10); left > 0; left--) {
    const nameBytes = zip.readUInt16LE(at + 28);
    const name = zip.toString('utf8', at + 46, at + 46 + nameBytes);
    if (/^common\/message\/\w+\.json$/.test(name)) {
      const local = zip.readUInt32LE(at + 42);
      const from = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
      const data = zip.subarray(from, from + zip.readUInt32LE(at + 20));
      const isDeflated = zip.readUInt16LE(at + 10) !== 0;
      texts.push((isDeflated ? inflateRawSync(data) : data).toString('utf8'));
    }
    at += 46 + nameBytes + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
  }
  return texts;
}
