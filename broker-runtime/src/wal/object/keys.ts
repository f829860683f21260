/** Safe integers have at most 16 digits; 20 keep room, and zero-padding makes byte order the order of numbers. */
const DIGITS = 20;
const WAL_KEY = /^wal\/(\d+)\/(\d{20})\/(\d{20})$/;

/** The one mutable object of a node's log: who may write it. */
export function fenceKey(nodeId: number): string {
  return `walfence/${nodeId}`;
}

/** Everything a node ever wrote, epoch by epoch. */
export function nodePrefix(nodeId: number): string {
  return `wal/${nodeId}/`;
}

export function epochPrefix(nodeId: number, nodeEpoch: number): string {
  return `${nodePrefix(nodeId)}${padded(nodeEpoch)}/`;
}

/** The object that holds group `sequence`. */
export function groupKey(nodeId: number, nodeEpoch: number, sequence: number): string {
  return epochPrefix(nodeId, nodeEpoch) + padded(sequence);
}

export interface GroupName {
  readonly nodeId: number;
  readonly nodeEpoch: number;
  readonly sequence: number;
}

/** Undefined for a key that no WAL of ours would have. */
export function parseGroupKey(key: string): GroupName | undefined {
  const [, node, epoch, n] = WAL_KEY.exec(key) ?? [];
  const [nodeId, nodeEpoch, sequence] = [Number(node), Number(epoch), Number(n)];
  const isOurs =
    Number.isSafeInteger(nodeId) && Number.isSafeInteger(nodeEpoch) && Number.isSafeInteger(sequence);
  return isOurs ? { nodeId, nodeEpoch, sequence } : undefined;
}

function padded(value: number): string {
  return String(value).padStart(DIGITS, '0');
}
