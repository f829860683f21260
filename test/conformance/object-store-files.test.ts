import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { FileObjectStore } from '../../broker-runtime/src/adapters/file-object-store.ts';
import { systemEnv } from '../../broker-runtime/src/adapters/system-env.ts';
import { describeObjectStore } from './object-store.ts';

describeObjectStore('FileObjectStore', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'millrace-objects-'));
  const env = systemEnv();
  return {
    store: await FileObjectStore.open(env, folder),
    other: await FileObjectStore.open(env, folder),
    stop: () => rm(folder, { recursive: true }),
  };
});
