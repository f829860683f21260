import { EVERYBODY } from '../world/sim-links.ts';
import type { SimRandom } from '../world/sim-random.ts';
import type { StoreFault, StoreOperation } from '../world/memory-object-store.ts';
import type { ClusterWorld, SimMachine } from './cluster-world.ts';

export const FAULT_KINDS = [
  'kill',
  'crash',
  'pause',
  'stop',
  'partition',
  'one-way',
  'clog',
  'reset',
  'store-unsure',
  'store-outage',
  'store-cut',
  'disk-slow',
  'disk-late-writes',
  'disk-error',
  'stuck-writer',
  'reservation-answers',
  'reservation-lost',
  'move',
  'clock-jump',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** Where the cluster stands when a fault hits it: rows of protocol 3.2 to 3.5. */
export const STEPS = ['steady', 'electing', 'starting', 'fenced', 'recovering', 'moving'] as const;
export type Step = (typeof STEPS)[number];

const WINDOW_MS = 10_000;
/** Below {@link DRAIN_MS} of the volumes: no write is held for longer than hosts wait for. */
const MAX_HELD_WRITE_MS = 2_500;
/** Nobody takes so long to read an object three times. */
const CORRUPT_AGAIN_MS = 5_000;
const CALM_SHARE = 0.25;
/** Moves that are taken back while they are under way. */
const CALLED_OFF_SHARE = 0.4;

/** Injects what the seed drew, window after window; {@link heal} takes everything back. */
export class FaultInjector {
  readonly hits = new Map<string, number>();
  readonly #world: ClusterWorld;
  readonly #random: SimRandom;
  readonly #kinds: readonly FaultKind[];
  readonly #leastPaceMs: number;
  #storeChance = 0;
  #isOutage = false;
  #isCorrupting = false;
  readonly #corruptedMs = new Map<string, number>();
  #isOver = false;
  readonly #pending: Promise<unknown>[] = [];

  constructor(world: ClusterWorld, random: SimRandom, kinds: readonly FaultKind[], leastPaceMs = 1) {
    this.#world = world;
    this.#random = random;
    this.#kinds = kinds;
    this.#leastPaceMs = leastPaceMs;
    world.storeFaults = (operation, key) => this.#storeFault(operation, key);
  }

  async run(forMs: number): Promise<void> {
    const { clock } = this.#world;
    const untilMs = clock.monotonicMs() + forMs;
    // What is broken already does not become more so.
    while (clock.monotonicMs() < untilMs && !this.#world.isBroken()) {
      const windowEndMs = Math.min(untilMs, clock.monotonicMs() + WINDOW_MS);
      this.#storeChance = 0;
      if (this.#kinds.length === 0 || this.#random.chance(CALM_SHARE)) {
        await clock.sleep(windowEndMs - clock.monotonicMs());
        continue;
      }
      const paceMs = this.#leastPaceMs + this.#random.between(400, 6_000);
      while (clock.monotonicMs() < windowEndMs && !this.#world.isBroken()) {
        await clock.sleep(this.#random.between(this.#leastPaceMs, paceMs));
        const kind = this.#kinds[this.#random.below(this.#kinds.length)];
        if (kind !== undefined) this.#inject(kind);
      }
    }
  }

  /** Everything is taken back; every machine is to run again. */
  async heal(): Promise<void> {
    this.#isOver = true;
    // First: a stop under way of a process that is paused, or cut off, or whose disk holds its writes, ends only then.
    this.#takeBack();
    await Promise.all(this.#pending);
    this.#takeBack();
    for (const machine of this.#world.machines) this.#world.start(machine);
  }

  #takeBack(): void {
    const { machines, network, volumes } = this.#world;
    this.#storeChance = 0;
    this.#isOutage = false;
    network.healAll();
    for (const { disk, reservations } of volumes.values()) {
      disk.decide = () => 'stored';
      disk.extraMs = () => 0;
      disk.isHeld = false;
      for (const write of [...disk.pending]) write.finish('stored');
      reservations.decide = () => 'given';
    }
    for (const machine of machines) {
      if (machine.process !== undefined) machine.process.objects.unavailable = false;
      this.#world.resume(machine);
    }
  }

  #inject(kind: FaultKind): void {
    const machine = this.#pick(this.#world.machines);
    this.#count(kind);
    this.#world.events.note(machine.host, `FAULT.${kind}`);
    const { network, clock } = this.#world;
    const other = this.#pick(this.#world.machines);
    // From one other broker, or from everybody, clients included.
    const peer = this.#random.chance(0.5) ? other.host : EVERYBODY;
    const volume = this.#world.volumes.get(machine.nodeId);
    switch (kind) {
      case 'kill':
        this.#world.kill(machine);
        break;
      case 'crash':
        this.#world.crash(machine);
        break;
      case 'pause':
        this.#world.pause(machine);
        this.#later(this.#random.between(20, 12_000), () => this.#world.resume(machine));
        break;
      case 'stop':
        this.#restart(machine);
        break;
      case 'partition':
        network.partition(machine.host, peer);
        this.#later(this.#random.between(100, 10_000), () => network.heal(machine.host, peer));
        break;
      case 'one-way':
        network.block(machine.host, peer);
        this.#later(this.#random.between(100, 10_000), () => network.heal(machine.host, peer));
        break;
      case 'clog':
        network.clog(machine.host, EVERYBODY, this.#random.between(50, 3_000));
        break;
      case 'reset':
        network.reset(machine.host);
        break;
      case 'store-unsure':
        this.#storeChance = this.#random.between(2, 30) / 100;
        break;
      case 'store-outage':
        this.#isOutage = true;
        this.#later(this.#random.between(100, 9_000), () => (this.#isOutage = false));
        break;
      case 'disk-slow':
        if (volume === undefined) break;
        volume.disk.isHeld = true;
        this.#later(this.#random.between(20, MAX_HELD_WRITE_MS), () => {
          volume.disk.isHeld = false;
          for (const write of [...volume.disk.pending]) write.finish('stored');
        });
        break;
      case 'store-cut': {
        // This process alone; another one in its place has a connection of its own.
        const objects = machine.process?.objects;
        if (objects === undefined) break;
        objects.unavailable = true;
        this.#always(this.#random.between(100, 12_000), () => (objects.unavailable = false));
        break;
      }
      case 'disk-late-writes':
        if (volume === undefined) break;
        volume.disk.extraMs = () =>
          this.#random.chance(0.1) ? this.#random.between(10, MAX_HELD_WRITE_MS) : 0;
        this.#later(this.#random.between(500, 8_000), () => (volume.disk.extraMs = () => 0));
        break;
      case 'clock-jump':
        clock.jumpWall(this.#random.between(-4_000, 4_000));
        break;
      case 'stuck-writer':
        this.#stick(machine);
        break;
      case 'disk-error':
        if (volume === undefined) break;
        volume.disk.decide = () => {
          volume.disk.decide = () => 'stored';
          return 'failed';
        };
        break;
      case 'reservation-answers':
        if (volume === undefined) break;
        volume.reservations.decide = () =>
          this.#random.chance(0.3) ? (this.#random.chance(0.5) ? 'lost' : 'dropped') : 'given';
        this.#later(this.#random.between(500, 8_000), () => (volume.reservations.decide = () => 'given'));
        break;
      case 'reservation-lost':
        volume?.reservations.detach(machine.host);
        break;
      case 'move':
        this.#pending.push(this.#move(other));
        break;
    }
  }

  /**
   * The disk holds what a broker writes while the other brokers lose sight of it, clients not (T1, T6): the fault that
   * fencing is for. Its log is taken over while writes are admitted and not landed.
   */
  #stick({ nodeId, host }: SimMachine): void {
    const disk = this.#world.volumes.get(nodeId)?.disk;
    if (disk === undefined) return;
    const others = this.#world.machines.filter((other) => other.host !== host);
    disk.isHeld = true;
    for (const other of others) this.#world.network.partition(host, other.host);
    // Also when the faults are over meanwhile: healing waits for restarts under way, longer than a host for its writes.
    this.#always(this.#random.between(MAX_HELD_WRITE_MS / 2, MAX_HELD_WRITE_MS), () => {
      disk.isHeld = false;
      for (const write of [...disk.pending]) write.finish('stored');
    });
    this.#later(this.#random.between(MAX_HELD_WRITE_MS, 8_000), () => {
      for (const other of others) this.#world.network.heal(host, other.host);
    });
  }

  #restart(machine: SimMachine): void {
    if (!machine.isWanted) return;
    const stopped = this.#world.stop(machine).then(() => {
      if (!this.#isOver) this.#later(this.#random.between(10, 3_000), () => this.#world.start(machine));
    });
    this.#pending.push(stopped);
  }

  async #move(to: SimMachine): Promise<void> {
    const topics = [...this.#world.observer.metadata.topics()];
    const topic = topics[this.#random.below(topics.length)];
    if (topic === undefined) return;
    const index = this.#random.below(topic.partitions.length);
    const ask = (toNodeId: number | null): Promise<unknown> =>
      this.#world.command('partitions.move', { moves: [{ topicId: topic.id, index, toNodeId }] });
    await ask(to.nodeId);
    if (!this.#random.chance(CALLED_OFF_SHARE)) return;
    // While its leader is letting go of it.
    await this.#world.clock.sleep(this.#random.between(1, 300));
    await ask(null);
  }

  #always(afterMs: number, act: () => void): void {
    this.#world.clock.timer(afterMs, act);
  }

  #later(afterMs: number, act: () => void): void {
    this.#world.clock.timer(afterMs, () => {
      if (!this.#isOver) act();
    });
  }

  #storeFault(operation: StoreOperation, key: string): StoreFault | undefined {
    if (this.#isOutage) return { kind: 'fail' };
    if (this.#storeChance === 0 || !this.#random.chance(this.#storeChance)) return undefined;
    if (operation === 'get') {
      this.#isCorrupting = !this.#isCorrupting && this.#random.chance(0.2);
      return { kind: this.#isCorrupting && this.#mayCorrupt(key) ? 'corrupt' : 'fail' };
    }
    if (operation === 'put' && this.#random.chance(0.1)) return { kind: 'conflict' };
    if (this.#random.chance(0.3)) return { kind: 'land-late', afterMs: this.#random.between(1, 8_000) };
    return { kind: this.#random.chance(0.5) ? 'lose-answer' : 'fail' };
  }

  /** What reads back damaged three times counts as damaged where it is stored (3.7): it never does here. */
  #mayCorrupt(key: string): boolean {
    const nowMs = this.#world.clock.monotonicMs();
    if (nowMs - (this.#corruptedMs.get(key) ?? -Infinity) < CORRUPT_AGAIN_MS) return false;
    this.#corruptedMs.set(key, nowMs);
    return true;
  }

  #count(kind: FaultKind): void {
    const cell = `${kind}/${this.#step()}`;
    this.hits.set(cell, (this.hits.get(cell) ?? 0) + 1);
  }

  #step(): Step {
    const { metadata } = this.#world.observer;
    for (const { state, recovery } of metadata.brokers.values()) {
      if (state === 'fenced') return recovery === undefined ? 'fenced' : 'recovering';
    }
    for (const { partitions } of metadata.topics()) {
      if (partitions.some(({ movingTo }) => movingTo !== undefined)) return 'moving';
    }
    const leader = this.#world.controllerHost();
    const isLed = this.#world.machines.some(
      ({ host, process }) => host === leader && process?.broker !== undefined,
    );
    if (!isLed) return 'electing';
    return this.#world.machines.some(({ isWanted, process }) => isWanted && process?.broker === undefined)
      ? 'starting'
      : 'steady';
  }

  #pick(machines: readonly SimMachine[]): SimMachine {
    const machine = machines[this.#random.below(machines.length)];
    if (machine === undefined) throw new Error('a cluster has at least one machine');
    return machine;
  }
}
