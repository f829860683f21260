import { existsSync } from 'node:fs';
import path from 'node:path';
import { LOCK_FILE } from '../broker-runtime/src/adapters/folder-lock.ts';
import type { BrokerConfig } from '../broker-runtime/src/main/broker-config.ts';

export const FOLDER_GONE = 'DATA_FOLDER_GONE';

/** What has to be known to tell what was in the folder. */
export interface KeptData {
  readonly dataDir: string;
  readonly store: BrokerConfig['store'];
  readonly walKind?: 'block' | 'object';
}

/** The folder that was deleted while the cluster used it. Asked before a broker is started again, which would make it anew. */
export function goneFolder({ dataDir, store }: KeptData): string | undefined {
  // The lock: a broker that starts at that moment makes a folder of its own in the data folder.
  if (!existsSync(path.join(dataDir, LOCK_FILE))) return dataDir;
  return store.kind === 'files' && !existsSync(store.directory) ? store.directory : undefined;
}

/** One line for whoever deleted it: what is lost, and what to do. */
export function folderGoneText(folder: string, { store, walKind }: KeptData): string {
  const what = `the folder ${folder} was deleted while Millrace ran`;
  if (store.kind === 'files' && !existsSync(store.directory)) {
    return `${what}: all records are lost, acknowledged ones too; put a copy of it back, or the next start begins an empty cluster`;
  }
  if (walKind === 'object')
    return `${what}: log and objects are in the store, and the next start goes on from there`;
  return (
    `${what}: the write-ahead log is lost, and with it what was acknowledged and not uploaded yet; ` +
    'put it back, or give those records up with --accept-wal-loss'
  );
}

/** What is told at the end of a stop that was asked for. */
export function stoppedText(signal: string, isClean: boolean): string {
  return isClean
    ? `stopped on ${signal}; everything is in the object store`
    : `stopped on ${signal}; not everything could be uploaded: the rest is in the write-ahead log, and the next start uploads it`;
}
