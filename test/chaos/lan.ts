import { runOk } from '../harness/command.ts';

/**
 * The private range of the test's own bridge; nothing outside can be reached through it. Another one for each process:
 * what a killed run left behind is in nobody's way.
 */
const PREFIX = `10.77.${process.pid % 256}`;
/** Clients, in the namespace of the test, speak from here. */
const CLIENTS = `${PREFIX}.253`;
/** The object store answers here: the same end of the same wire, so that one can be cut without the other. */
const STORE = `${PREFIX}.254`;
/** Nobody's: the bridge finds no port for it, and no card takes it. */
const NOBODY = '02:00:00:00:00:01';
/** Names of interfaces have 15 characters. */
const NAME_MODULUS = 100_000;

/** Who can be cut off from whom. */
export type Peer = number | 'clients' | 'store';

/**
 * Brokers on a network of their own: each in a network namespace on one bridge, the test at the bridge's end. Root on
 * Linux. What is cut is cut one direction at a time, by a neighbour entry in the sender's namespace with a hardware
 * address that nobody has: packets vanish without an answer, as behind a broken switch. (A blackhole route would tell the
 * sender at once.)
 */
export class Lan {
  readonly clientsHost = CLIENTS;
  readonly storeHost = STORE;
  readonly #nodeIds: readonly number[];
  readonly #prefix = `mr${process.pid % NAME_MODULUS}`;
  readonly #cut = new Set<string>();

  private constructor(nodeIds: readonly number[]) {
    this.#nodeIds = nodeIds;
  }

  static async create(nodeIds: readonly number[]): Promise<Lan> {
    const lan = new Lan(nodeIds);
    try {
      await lan.#build();
    } catch (error) {
      await lan.remove();
      throw error;
    }
    return lan;
  }

  /** Runs a command as if on the node's machine: same process id, same standard streams. */
  launcher(nodeId: number): readonly string[] {
    return ['ip', 'netns', 'exec', this.#namespace(nodeId)];
  }

  host(nodeId: number): string {
    return `${PREFIX}.${nodeId}`;
  }

  /** What `from` sends to `to` is lost from now on. The other direction works. */
  async cut(from: number, to: Peer): Promise<void> {
    const key = `${from}>${to}`;
    if (this.#cut.has(key)) return;
    this.#cut.add(key);
    await this.#neighbour(from, ['replace', this.#hostOf(to), 'lladdr', NOBODY, 'nud', 'permanent']);
  }

  /** Every direction of everybody works again. */
  async mend(): Promise<void> {
    for (const key of [...this.#cut]) {
      const [from, to] = key.split('>');
      const peer = to === 'clients' || to === 'store' ? to : Number(to);
      await this.#neighbour(Number(from), ['del', this.#hostOf(peer)]);
      this.#cut.delete(key);
    }
  }

  async remove(): Promise<void> {
    for (const nodeId of this.#nodeIds) await quietly(['netns', 'del', this.#namespace(nodeId)]);
    await quietly(['link', 'del', this.#bridge]);
  }

  async #build(): Promise<void> {
    await ip('link', 'add', this.#bridge, 'type', 'bridge');
    for (const host of [CLIENTS, STORE]) await ip('addr', 'add', `${host}/24`, 'dev', this.#bridge);
    await ip('link', 'set', this.#bridge, 'up');
    for (const nodeId of this.#nodeIds) {
      const namespace = this.#namespace(nodeId);
      const near = `${namespace}h`;
      await ip('netns', 'add', namespace);
      await ip('link', 'add', near, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
      await ip('link', 'set', near, 'master', this.#bridge, 'up');
      await ip('-n', namespace, 'addr', 'add', `${this.host(nodeId)}/24`, 'dev', 'eth0');
      await ip('-n', namespace, 'link', 'set', 'eth0', 'up');
      await ip('-n', namespace, 'link', 'set', 'lo', 'up');
    }
  }

  #hostOf(peer: Peer): string {
    if (typeof peer === 'number') return this.host(peer);
    return peer === 'clients' ? CLIENTS : STORE;
  }

  #neighbour(nodeId: number, [verb = '', ...args]: readonly string[]): Promise<string> {
    return ip('-n', this.#namespace(nodeId), 'neigh', verb, ...args, 'dev', 'eth0');
  }

  get #bridge(): string {
    return `${this.#prefix}br`;
  }

  #namespace(nodeId: number): string {
    return `${this.#prefix}n${nodeId}`;
  }
}

function ip(...args: string[]): Promise<string> {
  return runOk('ip', args);
}

async function quietly(args: string[]): Promise<void> {
  // It may not have come into being.
  await ip(...args).catch(() => undefined);
}
