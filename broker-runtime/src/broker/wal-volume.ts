import type { NodeRef, PreviousLife, RegisteredBroker } from '../metadata/cluster-metadata.ts';
import type { BlockDevice } from '../ports/block-device.ts';
import type { WriterIsGone } from '../wal/fence.ts';

/** Devices of a write-ahead log in stripe order, with the proof that nobody else writes to them any more (I30). */
export interface WalDevices {
  readonly devices: readonly BlockDevice[];
  readonly writer: WriterIsGone;
}

/** Makes an empty log on devices. */
export type PrepareLog = (devices: readonly BlockDevice[]) => Promise<unknown>;

/**
 * The volume of this node's WAL, and those of its neighbours, as this process can reach them. Two kinds: held by this
 * process alone; or shared among hosts, with reservations that decide who writes.
 */
export interface WalVolumes {
  /** Protocol 2.2. */
  readonly kind: 'block-single' | 'block-shared';

  /**
   * Where the last life of this node wrote; after this, nobody but `self` can write there. Undefined: there is no log to
   * be read.
   */
  openLast(self: NodeRef, previous: PreviousLife | null): Promise<WalDevices | undefined>;

  /**
   * Where this life writes, when that is not the same: devices in the place of the last life's, on which `prepare` has
   * made an empty log. Called when everything that was needed of the last life's is in objects.
   */
  openNew(self: NodeRef, prepare: PrepareLog): Promise<WalDevices> | undefined;

  /**
   * The log of a dead neighbour: fences the medium, proves it, and only then opens it to be read (protocol 3.5 steps 3
   * and 4). Undefined: it never acknowledged anything, or nothing of it is needed any more.
   */
  takeOver(node: RegisteredBroker, by: NodeRef): Promise<WalDevices | undefined>;

  /** Calls back once when the reservation of this life is lost (T7). Returns the way to stop. */
  watch(self: NodeRef, onLost: (error: Error) => void): () => void;

  /** Asks the volume whether this life holds it. Rejects when it does not say. */
  holds(self: NodeRef): Promise<boolean>;

  /** Frees what is held beside devices; those are closed by whoever they were given to. */
  close(): void;
}
