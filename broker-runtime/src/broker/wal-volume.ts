import type { NodeRef, PreviousLife, RegisteredBroker } from '../metadata/cluster-metadata.ts';
import type { BlockDevice } from '../ports/block-device.ts';
import type { WriterIsGone } from '../wal/fence.ts';

/** Devices of a write-ahead log in stripe order, with the proof that nobody else writes to them any more (I30). */
export interface WalDevices {
  readonly devices: readonly BlockDevice[];
  readonly writer: WriterIsGone;
}

/**
 * The volume of this node's WAL, and those of its neighbours, as this process can reach them. Two kinds: held by this
 * process alone; or shared among hosts, with reservations that decide who writes.
 */
export interface WalVolumes {
  /** Protocol 2.2. */
  readonly kind: 'block-single' | 'block-shared';

  /** Where the last life of this node wrote; after this, nobody but `self` can write there. */
  openLast(self: NodeRef, previous: PreviousLife | null): Promise<WalDevices>;

  /**
   * Where this life writes, when that is not the same: blank devices in the place of the last life's. Called when
   * everything that was needed of them is in objects.
   */
  openNew(self: NodeRef): Promise<WalDevices> | undefined;

  /**
   * The log of a dead neighbour: fences the medium, proves it, and only then opens it to be read (protocol 3.5 steps 3
   * and 4).
   */
  takeOver(node: RegisteredBroker, by: NodeRef): Promise<WalDevices>;

  /** Calls back once when the reservation of this life is lost (T7). Returns the way to stop. */
  watch(self: NodeRef, onLost: (error: Error) => void): () => void;
}
