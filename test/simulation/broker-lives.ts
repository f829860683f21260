import { exclusiveVolumes } from '../../broker-runtime/src/broker/exclusive-volume.ts';
import { Broker } from '../../broker-runtime/src/broker.ts';
import type { Clock, Timer } from '../../broker-runtime/src/ports/clock.ts';
import type { ObjectStore } from '../../broker-runtime/src/ports/object-store.ts';
import { KafkaClient } from './world/kafka-client.ts';
import { type FaultPlan, MemoryObjectStore, SimBucket } from './world/memory-object-store.ts';
import { SimDisk } from './world/sim-block-device.ts';
import { SimClock } from './world/sim-clock.ts';
import { RecordingEvents } from './world/sim-events.ts';
import { SimNetwork } from './world/sim-network.ts';
import { SimRandom } from './world/sim-random.ts';

const MIB = 1024 * 1024;

/** One process: when it is dead, nothing of it runs any more, whatever was under way. */
interface Life {
  isDead: boolean;
  readonly broker: Broker;
  readonly network: SimNetwork;
  readonly objects: MemoryObjectStore;
}

/**
 * One broker through many lives: the disk and the bucket stay, the process is killed and started again. A request
 * that a process had sent before its death may still happen at the store; its answer never comes.
 */
export class BrokerLives {
  readonly clock: SimClock;
  readonly random: SimRandom;
  readonly events = new RecordingEvents();
  readonly disk: SimDisk;
  readonly bucket = new SimBucket();
  /** Why brokers stopped of their own accord. */
  readonly failures: Error[] = [];
  readonly settings: Readonly<Record<string, string>>;
  storeDelayMs: () => number = () => 0;
  faults: FaultPlan | undefined;
  acceptWalLoss = false;
  /** Where the WAL is from the next start on. */
  wal: 'disk' | 'object' = 'disk';
  #life: Life | undefined;
  #isUnavailable = false;

  constructor(seed: number, settings: Readonly<Record<string, string>> = {}) {
    this.random = new SimRandom(seed);
    this.clock = new SimClock(this.random.fork());
    this.settings = settings;
    this.disk = new SimDisk({ capacityBytes: 64 * MIB, clock: this.clock, random: this.random.fork() });
  }

  get isUp(): boolean {
    return this.#life !== undefined;
  }

  /** The process that runs. */
  get broker(): Broker {
    return this.#running().broker;
  }

  get objects(): MemoryObjectStore {
    return this.#running().objects;
  }

  set unavailable(isUnavailable: boolean) {
    this.#isUnavailable = isUnavailable;
    if (this.#life !== undefined) this.#life.objects.unavailable = isUnavailable;
  }

  async start(): Promise<void> {
    if (this.#life !== undefined) throw new Error('the broker runs already');
    const network = new SimNetwork(this.clock, this.random.fork());
    const objects = new MemoryObjectStore(this.clock, this.bucket);
    objects.delayMs = () => this.storeDelayMs();
    objects.faults = (operation, key) => this.faults?.(operation, key);
    objects.unavailable = this.#isUnavailable;
    const state = { isDead: false };
    const isDead = (): boolean => state.isDead;
    const broker = await Broker.start(
      {
        env: { clock: mortalClock(this.clock, isDead), random: this.random.fork(), events: this.events },
        network,
        objects: mortalStore(objects, isDead),
        volumes: this.wal === 'object' ? 'object' : exclusiveVolumes([this.disk.open()]),
      },
      {
        nodeId: 1,
        listen: { host: '127.0.0.1', port: 9092 },
        internalListen: { host: '127.0.0.1', port: 9093 },
        zone: '',
        acceptWalLoss: this.acceptWalLoss,
        memoryBytes: 128 * MIB,
        settings: this.settings,
      },
    );
    const life: Life = Object.assign(state, { broker, network, objects });
    this.#life = life;
    void broker.failed.then((error) => {
      if (!life.isDead) this.failures.push(error);
    });
  }

  /** kill -9: clients see the connection break, writes to the disk are torn. */
  crash(): void {
    const life = this.#running();
    life.isDead = true;
    this.#life = undefined;
    this.disk.crash();
    life.network.resetAll();
  }

  /** SIGTERM. @returns how long it took, in simulated time */
  async stop(): Promise<number> {
    const { broker, network } = this.#running();
    this.#life = undefined;
    const begunMs = this.clock.monotonicMs();
    await broker.close();
    network.resetAll();
    return this.clock.monotonicMs() - begunMs;
  }

  connect(): Promise<KafkaClient> {
    const { network, broker } = this.#running();
    return KafkaClient.connect(network, broker.address, 'life');
  }

  run<T>(work: Promise<T>, limitMs?: number): Promise<T> {
    return this.clock.run(work, limitMs);
  }

  #running(): Life {
    if (this.#life === undefined) throw new Error('the broker is down');
    return this.#life;
  }
}

function mortalClock(clock: Clock, isDead: () => boolean): Clock {
  const whileAlive = (task: () => void) => (): void => {
    if (!isDead()) task();
  };
  return {
    monotonicMs: () => clock.monotonicMs(),
    wallMs: () => clock.wallMs(),
    timer: (delayMs, fire): Timer => clock.timer(delayMs, whileAlive(fire)),
    sleep: (delayMs, signal) => unlessDead(clock.sleep(delayMs, signal), isDead),
    afterTurn: (task) => clock.afterTurn(whileAlive(task)),
  };
}

function mortalStore(store: ObjectStore, isDead: () => boolean): ObjectStore {
  const guarded = <T>(request: () => Promise<T>): Promise<T> =>
    isDead() ? new Promise(() => undefined) : unlessDead(request(), isDead);
  return {
    put: (key, body, condition) => guarded(() => store.put(key, body, condition)),
    get: (key, range) => guarded(() => store.get(key, range)),
    head: (key) => guarded(() => store.head(key)),
    list: (prefix, options) => guarded(() => store.list(prefix, options)),
    delete: (keys) => guarded(() => store.delete(keys)),
    close: () => store.close(),
  };
}

function unlessDead<T>(work: Promise<T>, isDead: () => boolean): Promise<T> {
  return new Promise((resolve, reject) => {
    work.then(
      (value) => {
        if (!isDead()) resolve(value);
      },
      (error: unknown) => {
        if (!isDead()) reject(error instanceof Error ? error : new Error(String(error)));
      },
    );
  });
}
