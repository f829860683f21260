import type { MicroOperation, Operation, Outcome } from '../../../drills/history/operation.ts';
import { headOf } from '../../../drills/history/value.ts';
import { SimRandom } from '../../simulation/world/sim-random.ts';

export const TOPIC = 'orders';
export const GROUP = 'billing';
const PARTITIONS = 3;
const PRODUCERS = 3;
const MEMBERS = 2;
const STEPS = 600;

/** A client of the model: one operation at a time. */
class Client {
  readonly name: string;
  lastMs = 0;

  constructor(name: string) {
    this.name = name;
  }
}

class Producer extends Client {
  session = 0;
  counter = 0;
}

class Reader extends Client {
  readonly positions = new Map<number, number>();
}

/**
 * What clients of a correct cluster may see, drawn from a seed. Every operation takes effect at one moment between
 * its question and its answer, on plain arrays and registers.
 */
export class GoodHistory {
  readonly operations: Operation[] = [];
  readonly #random: SimRandom;
  readonly #logs: string[][] = Array.from({ length: PARTITIONS }, () => []);
  readonly #committed = new Map<number, number>();
  readonly #producers = Array.from({ length: PRODUCERS }, (_, n) => new Producer(`producer-${n}`));
  readonly #members = Array.from({ length: MEMBERS }, (_, n) => new Reader(`member-${n}`));
  readonly #tail = new Reader('tail');
  readonly #watcher = new Client('watcher');
  #nowMs = 0;

  constructor(seed: number) {
    this.#random = new SimRandom(seed);
    this.#assign(this.#tail, 0);
    this.#rebalance();
    for (let step = 0; step < STEPS; step += 1) {
      this.#nowMs += 1 + this.#random.below(40);
      this.#step();
    }
    this.#finish();
    // As in a file: in the order of the answers.
    this.operations.sort((a, b) => a.t1 - b.t1);
  }

  #step(): void {
    const draw = this.#random.below(100);
    const partition = this.#random.below(PARTITIONS);
    if (draw < 40) this.#send(this.#pick(this.#producers), partition);
    else if (draw < 60) this.#poll(this.#tail, partition);
    else if (draw < 85) this.#consume(this.#pick(this.#members));
    else if (draw < 97) this.#fetchOffset(partition);
    else this.#rebalance();
  }

  #send(producer: Producer, partition: number): void {
    this.#ready(producer);
    const session = `${producer.name}.${producer.session}`;
    const heads = Array.from({ length: this.#random.between(1, 4) }, () =>
      headOf({ topic: TOPIC, partition, producer: session, counter: producer.counter++ }),
    );
    const type = this.#outcome();
    const log = this.#log(partition);
    const base = log.length;
    if (type === 'ok' || (type === 'info' && this.#random.chance(0.6))) log.push(...heads);
    const ops = heads.map((value, n) => ({
      topic: TOPIC,
      partition,
      value,
      ...(type === 'ok' ? { offset: base + n } : {}),
    }));
    this.#record(producer, 'send', type, ops);
    // What became of the last write is not known: the next session has a producer id of its own.
    if (type !== 'ok') producer.session += 1;
  }

  #poll(reader: Reader, partition: number, max = this.#random.between(1, 6)): boolean {
    const from = reader.positions.get(partition);
    if (from === undefined) return false;
    this.#ready(reader);
    const log = this.#log(partition);
    const records = log
      .slice(from, from + max)
      .map((value, n) => ({ topic: TOPIC, partition, offset: from + n, value }));
    this.#record(reader, 'poll', 'ok', [{ topic: TOPIC, partition, highWatermark: log.length }, ...records]);
    reader.positions.set(partition, from + records.length);
    return records.length > 0;
  }

  #consume(member: Reader): void {
    const partitions = [...member.positions.keys()];
    if (partitions.length === 0) return;
    const partition = this.#pick(partitions);
    if (!this.#poll(member, partition)) return;
    this.#ready(member);
    const offset = member.positions.get(partition) ?? 0;
    const type = this.#outcome();
    if (type === 'ok' || (type === 'info' && this.#random.chance(0.5)))
      this.#committed.set(partition, offset);
    this.#record(member, 'commit', type, [{ topic: TOPIC, partition, offset }], { group: GROUP });
  }

  #fetchOffset(partition: number): void {
    this.#ready(this.#watcher);
    const offset = this.#committed.get(partition) ?? -1;
    this.#record(this.#watcher, 'fetch-offset', 'ok', [{ topic: TOPIC, partition, offset }], {
      group: GROUP,
    });
  }

  #assign(reader: Reader, offset: number): void {
    for (let partition = 0; partition < PARTITIONS; partition += 1) reader.positions.set(partition, offset);
    const ops = [...reader.positions.keys()].map((partition) => ({ topic: TOPIC, partition, offset }));
    this.#record(reader, 'assign', 'ok', ops, { mode: 'assign' });
  }

  #rebalance(): void {
    for (const member of this.#members) member.positions.clear();
    for (let partition = 0; partition < PARTITIONS; partition += 1) {
      this.#pick(this.#members).positions.set(partition, this.#committed.get(partition) ?? 0);
    }
    for (const member of this.#members) {
      this.#ready(member);
      const ops = [...member.positions.keys()].map((partition) => ({ topic: TOPIC, partition }));
      this.#record(member, 'assign', 'ok', ops, { group: GROUP, mode: 'subscribe' });
    }
  }

  /** Every reader reads on to the end; one more reads everything from the beginning. */
  #finish(): void {
    const drain = new Reader('drain');
    this.#assign(drain, 0);
    for (const reader of [...this.#members, this.#tail, drain]) {
      for (const partition of reader.positions.keys()) {
        do this.#nowMs += 30;
        while (this.#poll(reader, partition));
      }
      this.#nowMs += 100;
      this.#record(reader, 'assign', 'ok', [], { mode: 'assign' });
    }
  }

  #record(
    client: Client,
    f: Operation['f'],
    type: Outcome,
    ops: readonly MicroOperation[],
    more: Partial<Operation> = {},
  ): void {
    // The effect is now; the question was some time before, the answer comes some time later.
    const t0 = Math.max(client.lastMs + 0.001, this.#nowMs - this.#random.below(60));
    const t1 = Math.max(t0, this.#nowMs) + this.#random.below(60);
    client.lastMs = t1;
    this.operations.push({ client: client.name, f, type, t0, t1, ops, ...more });
  }

  /** A client does one thing at a time: its next effect comes after its last answer. */
  #ready(client: Client): void {
    this.#nowMs = Math.max(this.#nowMs, client.lastMs) + 1;
  }

  #outcome(): Outcome {
    const draw = this.#random.below(10);
    return draw === 0 ? 'fail' : draw <= 2 ? 'info' : 'ok';
  }

  #log(partition: number): string[] {
    const log = this.#logs[partition];
    if (log === undefined) throw new Error(`no partition ${partition}`);
    return log;
  }

  #pick<T>(items: readonly T[]): T {
    const item = items[this.#random.below(items.length)];
    if (item === undefined) throw new Error('nothing to pick from');
    return item;
  }
}
