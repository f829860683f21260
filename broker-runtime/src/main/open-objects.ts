import { FileObjectStore } from '../adapters/file-object-store.ts';
import { S3ObjectStore } from '../adapters/s3-object-store.ts';
import type { Env } from '../ports/env.ts';
import type { ObjectStore } from '../ports/object-store.ts';
import type { FileStoreConfig, S3StoreConfig } from './broker-config.ts';

export async function openObjects(env: Env, store: FileStoreConfig | S3StoreConfig): Promise<ObjectStore> {
  if (store.kind === 'files') return FileObjectStore.open(env, store.directory);
  return new S3ObjectStore(env, store);
}
