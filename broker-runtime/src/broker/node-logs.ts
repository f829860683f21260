import type { NodeRef, PreviousLife, RegisteredBroker } from '../metadata/cluster-metadata.ts';
import type { RecoveredEntries } from '../store/stream-store.ts';
import type { Wal, WalListener } from '../wal/wal.ts';

/** The write-ahead logs of one kind (protocol 2.2): a broker's own, and those of nodes that it may take over. */
export interface NodeLogs {
  readonly kind: string;

  /** Makes sure that nobody but `self` writes to the node's log any more, and opens what the last life left. */
  openOwn(self: NodeRef, previous: PreviousLife | null): Promise<OwnLog>;

  /** Fences the log of a dead node, proves it, and only then opens it (protocol 3.5 steps 3 and 4). */
  takeOver(node: RegisteredBroker, by: NodeRef, attempt: number): Promise<DeadLog>;

  /** Calls back once when this life has lost its log (T7). Returns the way to stop. */
  watch(self: NodeRef, onLost: (error: Error) => void): () => void;

  /** Asks the medium whether this life may still write. Undefined: only the bucket could say. */
  readonly holds: ((self: NodeRef) => Promise<boolean>) | undefined;
}

export interface OwnLog {
  /** What is not known to be in objects, in order. */
  groups(): AsyncIterable<RecoveredEntries>;
  /** The log of this life, empty; called when all of {@link groups} is in committed objects. */
  start(listener: WalListener): Promise<Wal>;
}

export interface DeadLog {
  /** May be read again and gives the same (I29). */
  groups(): AsyncIterable<RecoveredEntries>;
  /** The recovery is committed: nobody needs the log any more. */
  discard(): Promise<void>;
  close(): Promise<void>;
}
