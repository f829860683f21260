import fc from 'fast-check';
import { expect } from '@jest/globals';
import type { Partition } from '../../broker-runtime/src/log/partition.ts';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import { buildBatch } from '../../broker-runtime/src/wire/records/build-batch.ts';
import { readAll, type SeenRecord } from './kit.ts';

/** The system under test: a partition, and the ways to move its world. Implemented over memory and over the real store. */
export interface LogWorld {
  readonly partition: Partition;
  wallMs(): number;
  append(batch: Uint8Array): Promise<ReturnType<Partition['append']>>;
  settle(): Promise<void>;
  upload(): Promise<void>;
  run<T>(work: Promise<T>): Promise<T>;
  wait(ms: number): Promise<void>;
  /** Some of what was not durable may survive. */
  crash(): Promise<void>;
  restart(): Promise<void>;
}

interface ModelBatch {
  readonly baseOffset: number;
  readonly records: readonly SeenRecord[];
  readonly producerId: number;
  readonly epoch: number;
  readonly sequence: number;
}

/** What the log should be, in the plainest form: all batches ever appended, and where it begins. */
export class LogModel {
  readonly compacts: boolean;
  batches: ModelBatch[] = [];
  startOffset = 0;

  constructor(compacts: boolean) {
    this.compacts = compacts;
  }

  get endOffset(): number {
    const last = this.batches.at(-1);
    return last === undefined ? 0 : last.baseOffset + last.records.length;
  }

  get records(): SeenRecord[] {
    return this.batches.flatMap((batch) => batch.records);
  }

  /** The batches of the producer's current epoch, oldest first. */
  ofProducer(producerId: number): ModelBatch[] {
    const own = this.batches.filter((batch) => batch.producerId === producerId);
    return own.filter((batch) => batch.epoch === own.at(-1)?.epoch);
  }

  nextSequence(producerId: number): number {
    const last = this.ofProducer(producerId).at(-1);
    return last === undefined ? 0 : last.sequence + last.records.length;
  }

  epoch(producerId: number): number {
    return this.ofProducer(producerId).at(-1)?.epoch ?? 0;
  }
}

type LogCommand = fc.AsyncCommand<LogModel, LogWorld>;

/** Compares everything a client could see. */
async function agree(model: LogModel, world: LogWorld): Promise<void> {
  const { partition } = world;
  expect(partition.logEndOffset).toBe(model.endOffset);
  expect(partition.logStartOffset).toBe(model.startOffset);
  const seen = await world.run(readAll(partition));
  const visible = model.records.filter(
    ({ offset }) => offset >= model.startOffset && offset < partition.highWatermark,
  );
  if (!model.compacts) {
    expect(seen).toEqual(visible);
    return;
  }
  const byOffset = new Map(visible.map((record) => [record.offset, record]));
  let previous = -1;
  for (const record of seen) {
    expect(record.offset).toBeGreaterThan(previous);
    expect(record).toEqual(byOffset.get(record.offset));
    previous = record.offset;
  }
  expect(table(seen)).toEqual(table(visible));
}

/** The newest value of each key, without the deleted ones. */
function table(records: readonly SeenRecord[]): [string | null, string | null][] {
  const rows = new Map<string | null, string | null>();
  for (const { key, value } of records) rows.set(key, value);
  return [...rows].filter(([, value]) => value !== null).sort();
}

type Pairs = readonly (readonly [key: string, value: string | null])[];

class Append implements LogCommand {
  readonly producerId: number;
  readonly pairs: Pairs;
  /** `next`, or a new epoch that begins at 0. */
  readonly bump: boolean;

  constructor(producerId: number, pairs: Pairs, bump: boolean) {
    this.producerId = producerId;
    this.pairs = pairs;
    this.bump = bump && producerId >= 0;
  }
  check(): boolean {
    return true;
  }
  async run(model: LogModel, world: LogWorld): Promise<void> {
    const epoch = model.epoch(this.producerId) + (this.bump ? 1 : 0);
    const sequence = this.bump ? 0 : model.nextSequence(this.producerId);
    const baseOffset = model.endOffset;
    const records = this.pairs.map(([key, value], at) => ({
      offset: baseOffset + at,
      timestampMs: world.wallMs(),
      key,
      value,
    }));
    const result = await world.append(batchOf(records, this.producerId, epoch, sequence));
    expect(result).toMatchObject({ error: Errors.NONE, baseOffset });
    model.batches.push({ baseOffset, records, producerId: this.producerId, epoch, sequence });
    expect(world.partition.logEndOffset).toBe(model.endOffset);
  }
  toString(): string {
    return `append(producer ${this.producerId}${this.bump ? ', new epoch' : ''}, ${JSON.stringify(this.pairs)})`;
  }
}

class Resend implements LogCommand {
  readonly producerId: number;
  readonly age: number;

  constructor(producerId: number, age: number) {
    this.producerId = producerId;
    this.age = age;
  }
  check(model: Readonly<LogModel>): boolean {
    return model.ofProducer(this.producerId).length > this.age;
  }
  async run(model: LogModel, world: LogWorld): Promise<void> {
    const batch = model.ofProducer(this.producerId).at(-1 - this.age);
    if (batch === undefined) return;
    const { baseOffset, records, producerId, epoch, sequence } = batch;
    const result = await world.append(batchOf(records, producerId, epoch, sequence));
    if (this.age < 5) expect(result).toMatchObject({ error: Errors.NONE, baseOffset });
    else expect(result).toMatchObject({ error: Errors.OUT_OF_ORDER_SEQUENCE_NUMBER, baseOffset: -1 });
    expect(world.partition.logEndOffset).toBe(model.endOffset);
  }
  toString(): string {
    return `resend(producer ${this.producerId}, ${this.age} batches ago)`;
  }
}

/** A sequence too far ahead, or an epoch that was fenced. */
class Misstep implements LogCommand {
  readonly producerId: number;
  readonly kind: 'gap' | 'old epoch';

  constructor(producerId: number, kind: 'gap' | 'old epoch') {
    this.producerId = producerId;
    this.kind = kind;
  }
  check(model: Readonly<LogModel>): boolean {
    const known = model.ofProducer(this.producerId).length > 0;
    return known && (this.kind === 'gap' || model.epoch(this.producerId) > 0);
  }
  async run(model: LogModel, world: LogWorld): Promise<void> {
    const { producerId } = this;
    const records = [{ offset: 0, timestampMs: world.wallMs(), key: 'x', value: 'never stored' }];
    const next = model.nextSequence(producerId);
    const epoch = model.epoch(producerId);
    const gap = this.kind === 'gap';
    const batch = gap
      ? batchOf(records, producerId, epoch, next + 1)
      : batchOf(records, producerId, epoch - 1, next);
    const error = gap ? Errors.OUT_OF_ORDER_SEQUENCE_NUMBER : Errors.INVALID_PRODUCER_EPOCH;
    expect(await world.append(batch)).toMatchObject({ error, baseOffset: -1 });
    await agree(model, world);
  }
  toString(): string {
    return `${this.kind}(producer ${this.producerId})`;
  }
}

class Simple implements LogCommand {
  readonly name: string;
  readonly act: (model: LogModel, world: LogWorld) => Promise<void>;

  constructor(name: string, act: (model: LogModel, world: LogWorld) => Promise<void>) {
    this.name = name;
    this.act = act;
  }
  check(): boolean {
    return true;
  }
  async run(model: LogModel, world: LogWorld): Promise<void> {
    await this.act(model, world);
    await agree(model, world);
  }
  toString(): string {
    return this.name;
  }
}

export const HORIZON_MS = 1000;

/** Everything that happens to a partition, in any order. */
export function logCommands(maxCommands: number): fc.Arbitrary<Iterable<LogCommand>> {
  const producerId = fc.constantFrom(7, 8);
  const value = fc.option(fc.constantFrom('1', '2'), { nil: null, freq: 3 });
  const pairs = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), value), { minLength: 1, maxLength: 3 });
  const simple = (name: string, act: (model: LogModel, world: LogWorld) => Promise<void>) =>
    fc.constant(new Simple(name, act));
  const settle = (_: LogModel, world: LogWorld): Promise<void> => world.settle();
  const append = fc
    .tuple(fc.constantFrom(-1, 7, 7, 8), pairs, fc.nat(7))
    .map(([id, records, dice]) => new Append(id, records, dice === 0));
  return fc.commands(
    [
      append,
      append,
      append,
      fc.tuple(producerId, fc.nat(6)).map(([id, age]) => new Resend(id, age)),
      fc
        .tuple(producerId, fc.constantFrom('gap' as const, 'old epoch' as const))
        .map((args) => new Misstep(...args)),
      simple('settle', settle),
      simple('upload', (_, world) => world.upload()),
      simple('maintain', (_, world) => world.run(world.partition.maintain())),
      simple('wait', (_, world) => world.wait(HORIZON_MS)),
      simple('crash', async (model, world) => {
        const durable = world.partition.highWatermark;
        await world.crash();
        const survived = world.partition.logEndOffset;
        expect(survived).toBeGreaterThanOrEqual(durable);
        model.batches = model.batches.filter((batch) => batch.baseOffset < survived);
      }),
      simple('restart', (_, world) => world.restart()),
      fc.nat(3).map(
        (back) =>
          new Simple(`delete records up to ${back} below the high watermark`, async (model, world) => {
            const offset = Math.max(model.startOffset, world.partition.highWatermark - back);
            const result = await world.run(world.partition.deleteRecordsBefore(offset));
            expect(result).toEqual({ error: Errors.NONE, logStartOffset: offset });
            model.startOffset = offset;
          }),
      ),
    ],
    { maxCommands },
  );
}

function batchOf(
  records: readonly SeenRecord[],
  producerId: number,
  epoch: number,
  sequence: number,
): Uint8Array {
  const bytes = (text: string | null): Uint8Array | null => (text === null ? null : Buffer.from(text));
  return buildBatch({
    records: records.map(({ timestampMs, key, value }, offset) => ({
      offset,
      timestampMs,
      key: bytes(key),
      value: bytes(value),
    })),
    baseOffset: 0,
    ...(producerId < 0 ? {} : { producerId, producerEpoch: epoch, baseSequence: sequence }),
  });
}
