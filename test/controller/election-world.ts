import { expect } from '@jest/globals';
import { Election } from '../../broker-runtime/src/controller/election.ts';
import type { ElectionOptions, Term, TermEnd } from '../../broker-runtime/src/controller/election.ts';
import type {
  ByteRange,
  ListPage,
  ObjectInfo,
  ObjectStore,
  PutCondition,
  PutOutcome,
  StoredObject,
} from '../../broker-runtime/src/ports/object-store.ts';
import { ConditionalJournal } from '../../broker-runtime/src/wal/conditional-journal.ts';
import type { MemoryObjectStore } from '../simulation/world/memory-object-store.ts';
import { JournalWorld, LinesImage, writeLine } from '../wal/journal-world.ts';
import { ProcessClock } from './process-clock.ts';

export interface ProcessOptions extends Partial<ElectionOptions> {
  readonly rate?: number;
  /** Opens the journal in each term and writes to it, as a controller does. */
  readonly writes?: boolean;
}

/** One broker process that runs for controller. */
export class Candidate {
  readonly name: string;
  readonly clock: ProcessClock;
  readonly store: MemoryObjectStore;
  readonly election: Election;
  readonly lost: TermEnd[] = [];
  readonly failures: Error[] = [];
  /** Lines whose commit was answered while the term was valid: what a client was told is done. */
  readonly answered: string[] = [];
  /** Epochs of the terms won, and of the journals opened in them. */
  readonly terms: number[] = [];
  readonly journals: number[] = [];
  /** Called before and after each request to the store, with its number. */
  onStep: (step: number) => void = () => undefined;
  readonly #world: ElectionWorld;
  readonly #writes: boolean;
  #steps = 0;
  #lines = 0;
  #closing: Promise<void> = Promise.resolve();

  constructor(world: ElectionWorld, name: string, options: ProcessOptions) {
    this.#world = world;
    this.name = name;
    this.#writes = options.writes ?? false;
    this.clock = new ProcessClock(world.env.clock, options.rate);
    this.store = world.journals.store();
    const env = { clock: this.clock, random: world.env.random.fork(), events: world.env.events };
    const store = new SteppedStore(this.store, () => this.#step());
    this.election = new Election(env, store, {
      host: name,
      port: 9,
      onFailed: (error) => this.failures.push(error),
      ...options,
    });
    this.election.start(
      async (term) => {
        this.terms.push(term.epoch);
        if (this.#writes) await this.#serve(term, env, store);
      },
      async (_term, error) => {
        this.lost.push(error.why);
        await this.#closing;
      },
    );
  }

  get isValid(): boolean {
    return this.election.term?.isValid() === true;
  }

  async #serve(
    term: Term,
    env: ConstructorParameters<typeof Election>[0],
    store: ObjectStore,
  ): Promise<void> {
    const journal = await ConditionalJournal.open(env, store, [new LinesImage()], {
      writer: this.name,
      snapshotEveryEntries: 7,
      minimumEpoch: term.epoch,
      signal: term.signal,
      onFailed: (error) => term.end('superseded', error),
    });
    this.journals.push(journal.epoch);
    this.#closing = this.#write(term, journal);
  }

  async #write(term: Term, journal: ConditionalJournal): Promise<void> {
    while (!term.signal.aborted) {
      const line = `${this.name} ${this.#lines++}`;
      try {
        await writeLine(journal, line);
        if (term.isValid()) this.answered.push(line);
        await this.clock.sleep(40, term.signal);
      } catch {
        break;
      }
    }
    await journal.close();
  }

  async #step(): Promise<void> {
    this.onStep(this.#steps++);
    await this.clock.running();
  }
}

/** Candidates for one lease, and somebody who sees them all at once. */
export class ElectionWorld {
  readonly journals: JournalWorld;
  readonly candidates: Candidate[] = [];
  /** More than one term was valid at a moment. */
  overlaps = 0;
  #isWatching = false;

  constructor(seed = 1) {
    this.journals = new JournalWorld(seed);
  }

  get env(): JournalWorld['env'] {
    return this.journals.env;
  }

  add(name: string, options: ProcessOptions = {}): Candidate {
    const candidate = new Candidate(this, name, options);
    this.candidates.push(candidate);
    candidate.store.delayMs = () => this.env.random.between(1, 30);
    if (!this.#isWatching) this.#watch();
    this.#isWatching = true;
    return candidate;
  }

  advance(ms: number): Promise<void> {
    return this.env.clock.advance(ms);
  }

  get valid(): readonly Candidate[] {
    return this.candidates.filter(({ isValid }) => isValid);
  }

  /** Lets time pass until exactly this many terms are valid. @returns how long that took */
  async until(
    count: number,
    limitMs = 60_000,
    among: readonly Candidate[] = this.candidates,
  ): Promise<number> {
    for (let ms = 0; ms <= limitMs; ms += 10) {
      if (among.filter(({ isValid }) => isValid).length === count) return ms;
      await this.advance(10);
    }
    throw new Error(`there were not ${count} valid terms in ${limitMs} ms`);
  }

  /** The one with a valid term. */
  leader(): Candidate {
    const [leader, ...others] = this.valid;
    expect(others).toEqual([]);
    if (leader === undefined) throw new Error('nobody leads');
    return leader;
  }

  lease(): Record<string, unknown> {
    const stored = this.journals.bucket.objects.get('lease/controller');
    return JSON.parse(Buffer.from(stored?.body ?? []).toString('utf8')) as Record<string, unknown>;
  }

  #watch(): void {
    if (this.valid.length > 1) this.overlaps++;
    this.env.clock.timer(5, () => this.#watch());
  }
}

/** A store whose process may be paused before a request is made and before its answer is looked at. */
class SteppedStore implements ObjectStore {
  readonly #store: ObjectStore;
  readonly #step: () => Promise<void>;

  constructor(store: ObjectStore, step: () => Promise<void>) {
    this.#store = store;
    this.#step = step;
  }

  put(key: string, body: readonly Uint8Array[], condition: PutCondition): Promise<PutOutcome> {
    return this.#between(() => this.#store.put(key, body, condition));
  }

  get(key: string, range?: ByteRange, into?: Uint8Array): Promise<StoredObject> {
    return this.#between(() => this.#store.get(key, range, into));
  }

  head(key: string): Promise<ObjectInfo | undefined> {
    return this.#between(() => this.#store.head(key));
  }

  list(prefix: string, options?: { readonly after?: string; readonly limit?: number }): Promise<ListPage> {
    return this.#between(() => this.#store.list(prefix, options));
  }

  delete(keys: readonly string[]): Promise<void> {
    return this.#between(() => this.#store.delete(keys));
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  async #between<T>(request: () => Promise<T>): Promise<T> {
    await this.#step();
    try {
      return await request();
    } finally {
      await this.#step();
    }
  }
}
