import type { ByteReader, ByteWriter } from '../../broker-runtime/src/base/bytes.ts';
import { readText, readUvarint, writeText, writeUvarint } from '../../broker-runtime/src/base/varint.ts';
import { ConditionalJournal } from '../../broker-runtime/src/wal/conditional-journal.ts';
import type { ConditionalJournalOptions } from '../../broker-runtime/src/wal/conditional-journal.ts';
import type { Decision, Image, Journal } from '../../broker-runtime/src/wal/journal.ts';
import { MemoryObjectStore, SimBucket } from '../simulation/world/memory-object-store.ts';
import { simEnv } from '../simulation/world/sim-env.ts';
import type { SimEnv } from '../simulation/world/sim-env.ts';

/** The smallest image: remembers every line written to it, in order. */
export class LinesImage implements Image {
  readonly kind: number;
  lines: string[] = [];

  constructor(kind = 7) {
    this.kind = kind;
  }

  apply(record: Uint8Array): void {
    this.lines.push(Buffer.from(record).toString('utf8'));
  }

  writeSnapshot(writer: ByteWriter): void {
    writeUvarint(writer, this.lines.length);
    for (const line of this.lines) writeText(writer, line);
  }

  readSnapshot(reader: ByteReader): void {
    this.lines = Array.from({ length: readUvarint(reader) }, () => readText(reader));
  }

  clear(): void {
    this.lines = [];
  }
}

export interface OpenJournal {
  readonly journal: ConditionalJournal;
  readonly image: LinesImage;
  readonly store: MemoryObjectStore;
  readonly failures: Error[];
}

/** One bucket and the processes that use it: each has a store handle of its own, so faults hit one of them. */
export class JournalWorld {
  readonly env: SimEnv;
  readonly bucket = new SimBucket();

  constructor(seed = 1) {
    this.env = simEnv(seed);
  }

  store(): MemoryObjectStore {
    return new MemoryObjectStore(this.env.clock, this.bucket);
  }

  /** Time passes only as far as `work` needs it. */
  run<T>(work: Promise<T>): Promise<T> {
    return this.env.clock.run(work);
  }

  async open(options: Partial<ConditionalJournalOptions> = {}, store = this.store()): Promise<OpenJournal> {
    const image = new LinesImage();
    const failures: Error[] = [];
    const opening = ConditionalJournal.open(this.env, store, [image], {
      writer: 'test',
      onFailed: (error) => failures.push(error),
      ...options,
    });
    const journal = await this.run(opening);
    await this.env.clock.settle();
    return { journal, image, store, failures };
  }

  /** What a new process reads from the bucket. */
  async linesAfterRestart(): Promise<readonly string[]> {
    const opened = await this.open();
    await this.run(opened.journal.close());
    return opened.image.lines;
  }

  logKeys(): string[] {
    return [...this.bucket.objects.keys()].filter((key) => key.startsWith('meta/log/')).sort();
  }
}

export function writeLine(journal: Journal, line: string): Promise<number> {
  return journal.commit((sequence) => lineDecision(line, sequence));
}

export function lineDecision(line: string, sequence: number): Decision<number> {
  return { records: [{ kind: 7, bytes: Buffer.from(line, 'utf8') }], result: sequence };
}
