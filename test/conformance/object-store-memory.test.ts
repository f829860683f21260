import { MemoryObjectStore } from '../simulation/world/memory-object-store.ts';
import { describeObjectStore } from './object-store.ts';

describeObjectStore('MemoryObjectStore', async () => {
  const store = new MemoryObjectStore();
  const other = new MemoryObjectStore(undefined, store.bucket);
  return { store, other, stop: async () => undefined };
});
