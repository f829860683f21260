import { Broker, type StorePaces } from '../../../broker-runtime/src/broker.ts';
import { RpcClient } from '../../../broker-runtime/src/rpc/client.ts';
import type { Network } from '../../../broker-runtime/src/ports/network.ts';
import type { ObjectStore } from '../../../broker-runtime/src/ports/object-store.ts';
import type { Reservation } from '../../../broker-runtime/src/ports/reservation.ts';
import { takeVolume, type FenceProof } from '../../../broker-runtime/src/wal/fence.ts';
import { type FaultPlan, MemoryObjectStore, SimBucket } from '../world/memory-object-store.ts';
import { SimDisk } from '../world/sim-block-device.ts';
import { SimClock } from '../world/sim-clock.ts';
import { SilentEvents } from '../world/sim-events.ts';
import { SimNetwork } from '../world/sim-network.ts';
import { SimRandom } from '../world/sim-random.ts';
import { type SimHostReservation, SimReservations } from '../world/sim-reservation.ts';
import { isBroken, WorldEvents } from './world-events.ts';
import { Observer } from './observer.ts';
import { gatedClock, gatedNetwork, gatedStore, ProcessGate } from './process-gate.ts';
import { type SharedVolume, sharedVolumes } from './shared-volumes.ts';

const MIB = 1024 * 1024;
export const KAFKA_PORT = 9092;
const INTERNAL_PORT = 9093;
/** A supervisor's pause; now and then a machine takes so long that its neighbours take over. */
const RESTART_MS = { least: 50, most: 1_500, longMost: 15_000 };
const LONG_RESTARTS = 0.4;
/** What an operator waits for an answer. */
const COMMAND_TIMEOUT_MS = 10_000;

/** Broken variants are made by wrapping what a process stands on; nothing of production knows of them. */
export interface Sabotage {
  readonly store?: (store: ObjectStore, clock: SimClock) => ObjectStore;
  readonly network?: (network: Network, host: string) => Network;
  readonly reservation?: (reservation: SimHostReservation) => Reservation;
  readonly fence?: typeof takeVolume;
  /** Whoever starts waits until the disk has ended the writes of the process before. */
  readonly waitsForOldWrites?: boolean;
  /** Proofs of fences are not looked at: what they let through must be found by its consequences. */
  readonly trustsProofs?: boolean;
}

export interface ClusterPlan {
  /** The zone of each node; node ids are 1, 2, ... */
  readonly zones: readonly string[];
  /** Volumes of the zone, or objects in the bucket (protocol 2.2). */
  readonly wal: 'block-shared' | 'object';
  readonly sessionTimeoutMs: number;
  readonly storePaces: StorePaces;
  readonly storeDelayMs: readonly [number, number];
  readonly settings: Readonly<Record<string, string>>;
  readonly sabotage?: Sabotage;
}

/** A node id with its machine: processes come and go on it. */
export interface SimMachine {
  readonly nodeId: number;
  readonly host: string;
  readonly zone: string;
  /** The supervisor keeps a process running. */
  isWanted: boolean;
  /** Counts supervisors: one that was told to stop while it slept does not come back beside its successor. */
  supervisor: number;
  process: SimProcess | undefined;
}

interface SimProcess {
  readonly gate: ProcessGate;
  readonly objects: MemoryObjectStore;
  /** Resolves when it was killed. */
  readonly killed: PromiseWithResolvers<undefined>;
  broker: Broker | undefined;
}

/** Several brokers, one bucket, a volume for each: everything of one seed. */
export class ClusterWorld {
  readonly clock: SimClock;
  readonly random: SimRandom;
  readonly network: SimNetwork;
  readonly bucket = new SimBucket();
  readonly observer: Observer;
  readonly events: WorldEvents;
  readonly machines: readonly SimMachine[];
  readonly volumes = new Map<number, SharedVolume>();
  readonly violations: string[] = [];
  readonly plan: ClusterPlan;
  /** Processes that ended by themselves. */
  failures = 0;
  storeFaults: FaultPlan | undefined;
  #isOver = false;

  constructor(seed: number, plan: ClusterPlan) {
    this.plan = plan;
    this.random = new SimRandom(seed);
    this.clock = new SimClock(this.random.fork());
    this.network = new SimNetwork(this.clock, this.random.fork());
    this.events = new WorldEvents(this.clock, (what) => this.violate(what));
    this.observer = new Observer(this.bucket, this.clock, (what) => this.violate(what));
    this.machines = plan.zones.map((zone, n) => {
      const nodeId = n + 1;
      const disk = new SimDisk({
        name: `vol-${nodeId}`,
        capacityBytes: 64 * MIB,
        clock: this.clock,
        random: this.random.fork(),
      });
      this.volumes.set(nodeId, {
        nodeId,
        zone,
        disk,
        reservations: new SimReservations(disk, this.clock),
      });
      return { nodeId, host: `node-${nodeId}`, zone, isWanted: false, supervisor: 0, process: undefined };
    });
  }

  violate(what: string): void {
    if (this.violations.length < 20)
      this.violations.push(`${Math.round(this.clock.monotonicMs())} ms: ${what}`);
  }

  isBroken(): boolean {
    return this.violations.length > 0;
  }

  /** Keeps a process running there, as a supervisor does, until {@link stop} or the end of the world. */
  start(machine: SimMachine): void {
    if (machine.isWanted) return;
    machine.isWanted = true;
    void this.#supervise(machine);
  }

  /** kill -9; the machine stays, and the disk ends what it admitted. */
  kill(machine: SimMachine): void {
    const { process } = machine;
    if (process === undefined) return;
    this.#endProcess(machine, process);
    this.network.crash(machine.host);
    for (const { disk } of this.volumes.values()) disk.crashHost(machine.host);
  }

  /** The power of the machine: its writes are torn, nobody is told that its connections are gone. */
  crash(machine: SimMachine): void {
    const { process } = machine;
    if (process === undefined) return;
    this.#endProcess(machine, process);
    this.network.crash(machine.host, { silent: true });
    for (const { disk } of this.volumes.values()) {
      disk.crashHost(machine.host);
      for (const write of [...disk.pending]) {
        if (write.host === machine.host && this.random.chance(0.7)) write.finish('failed');
      }
    }
  }

  /** SIGSTOP. */
  pause(machine: SimMachine): void {
    if (machine.process === undefined) return;
    machine.process.gate.pause();
    this.network.freeze(machine.host);
  }

  resume(machine: SimMachine): void {
    this.network.thaw(machine.host);
    machine.process?.gate.resume();
  }

  /** SIGTERM; it stays down. */
  async stop(machine: SimMachine, limitMs = 90_000): Promise<void> {
    machine.isWanted = false;
    const { process } = machine;
    if (process?.broker === undefined || process.gate.isPaused) {
      this.resume(machine);
      this.kill(machine);
      return;
    }
    await Promise.race([process.broker.close(), process.killed.promise, this.clock.sleep(limitMs)]);
    if (machine.process === process) this.kill(machine);
  }

  /** A command as an operator's tool would send it. Undefined: it could not be asked. */
  async command(name: string, args: unknown): Promise<unknown> {
    const asker = [...this.observer.metadata.brokers.values()].find(({ state }) => state === 'active');
    const leader = this.controllerHost();
    if (asker === undefined || leader === undefined) return undefined;
    const env = { clock: this.clock, random: this.random.fork(), events: new SilentEvents() };
    const address = { host: leader, port: INTERNAL_PORT };
    try {
      const client = await RpcClient.connect(env, this.network, address, { timeoutMs: 2_000 });
      try {
        const node = { nodeId: asker.nodeId, nodeEpoch: asker.nodeEpoch };
        const json = { name, args, node };
        const answer = await client.call('command', { json, blobs: [] }, { timeoutMs: COMMAND_TIMEOUT_MS });
        return answer.json;
      } finally {
        client.close();
      }
    } catch {
      return undefined;
    }
  }

  controllerHost(): string | undefined {
    const lease = this.bucket.objects.get('lease/controller');
    if (lease === undefined) return undefined;
    return /node-\d+/.exec(Buffer.from(lease.body).toString('latin1'))?.[0];
  }

  /** For whom a run did not end: what the committed state says. */
  describe(): readonly string[] {
    const { brokers } = this.observer.metadata;
    const nodes = [...brokers.values()].map((node) => `node ${node.nodeId}: ${JSON.stringify(node)}`);
    const topics = [...this.observer.metadata.topics()].flatMap(({ name, partitions }) =>
      partitions.map((partition) => `${name}: ${JSON.stringify(partition)}`),
    );
    return [...nodes, ...topics];
  }

  /** Everything dies; nothing of this world runs any more. */
  end(): void {
    this.#isOver = true;
    for (const machine of this.machines) {
      machine.isWanted = false;
      this.kill(machine);
    }
  }

  async #supervise(machine: SimMachine): Promise<void> {
    const supervisor = ++machine.supervisor;
    while (machine.isWanted && machine.supervisor === supervisor && !this.#isOver) {
      const process = this.#newProcess();
      machine.process = process;
      const ended = await this.#live(machine, process);
      if (ended !== undefined) {
        this.failures++;
        this.events.note(machine.host, 'process.ended', ended.message);
        if (isBroken(ended)) this.violate(`${machine.host} stopped: ${ended.stack ?? ended.message}`);
        if (machine.process === process) this.kill(machine);
      }
      const most = this.random.chance(LONG_RESTARTS) ? RESTART_MS.longMost : RESTART_MS.most;
      await this.clock.sleep(this.random.between(RESTART_MS.least, most));
    }
  }

  #newProcess(): SimProcess {
    const gate = new ProcessGate(this.clock);
    const objects = new MemoryObjectStore(this.clock, this.bucket);
    const [least, most] = this.plan.storeDelayMs;
    const random = this.random.fork();
    objects.delayMs = () => random.between(least, most);
    objects.faults = (operation, key) => this.storeFaults?.(operation, key);
    return { gate, objects, killed: Promise.withResolvers(), broker: undefined };
  }

  #endProcess(machine: SimMachine, process: SimProcess): void {
    process.gate.kill();
    machine.process = undefined;
    process.killed.resolve(undefined);
  }

  /** Starts a broker and waits for its end. @returns why; undefined when it was killed */
  async #live(machine: SimMachine, process: SimProcess): Promise<Error | undefined> {
    const { gate } = process;
    const life = async (): Promise<Error> => {
      try {
        process.broker = await this.#startBroker(machine, process);
        return await process.broker.failed;
      } catch (error) {
        return error instanceof Error ? error : new Error(String(error));
      }
    };
    // A dead process may not tell anything either.
    return Promise.race([gate.promise(life()), process.killed.promise]);
  }

  #startBroker(machine: SimMachine, { gate, objects }: SimProcess): Promise<Broker> {
    const { nodeId, host, zone } = machine;
    const { sabotage = {}, settings, sessionTimeoutMs, storePaces } = this.plan;
    const env = {
      clock: gatedClock(this.clock, gate),
      random: this.random.fork(),
      events: this.events.of(host, gate),
    };
    const store = gatedStore(objects, gate);
    const network = gatedNetwork(this.network.node(host), gate);
    const volumes = sharedVolumes({
      env,
      gate,
      host,
      zone,
      volumes: this.volumes,
      reservationOf: (reservation) => sabotage.reservation?.(reservation) ?? reservation,
      fence: sabotage.fence ?? takeVolume,
      waitsForOldWrites: sabotage.waitsForOldWrites ?? true,
      onProven: (volume, proof) => this.#checkProof(host, volume, proof),
    });
    return Broker.start(
      {
        env,
        network: sabotage.network?.(network, host) ?? network,
        objects: sabotage.store?.(store, this.clock) ?? store,
        volumes: this.plan.wal === 'object' ? 'object' : volumes,
      },
      {
        nodeId,
        listen: { host, port: KAFKA_PORT },
        internalListen: { host, port: INTERNAL_PORT },
        zone,
        memoryBytes: 128 * MIB,
        settings: { 'broker.session.timeout.ms': String(sessionTimeoutMs), ...settings },
        storePaces,
      },
    );
  }

  /** I30: what the proof says is true of the device at this very moment. */
  #checkProof(host: string, { disk, reservations }: SharedVolume, proof: FenceProof): void {
    if (this.plan.sabotage?.trustsProofs === true) return;
    const foreign = [...disk.pending].filter((write) => write.host !== host).length;
    if (reservations.holderHost !== host) {
      this.violate(`I30: ${host} reads ${disk.name}, held by ${reservations.holderHost ?? 'nobody'}`);
    } else if (foreign > 0 && proof.drain !== 'none') {
      this.violate(`I30: ${host} reads ${disk.name} while ${foreign} writes of others are under way`);
    }
  }
}
