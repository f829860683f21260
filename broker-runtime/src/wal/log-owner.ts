import { WalOptionsError } from './wal.ts';

/** Whose log it is. A medium that names anybody else is refused. */
export interface LogOwner {
  readonly clusterId: string;
  readonly nodeId: number;
}

/** Drawn at random for a log: what another life of the medium left, or a client forged, never passes for its own. */
export const LOG_ID_BYTES = 8;

/** UTF-8: what the formats leave room for. */
const CLUSTER_ID_MAX_BYTES = 256;

/** @throws {WalOptionsError} */
export function checkClusterId(clusterId: string): void {
  const bytes = new TextEncoder().encode(clusterId).length;
  if (bytes >= 1 && bytes <= CLUSTER_ID_MAX_BYTES) return;
  throw new WalOptionsError(`a cluster id has 1 to ${CLUSTER_ID_MAX_BYTES} bytes, got ${bytes}`);
}
