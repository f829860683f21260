import { GenerationStore } from '../../broker-runtime/src/adapters/generation-store.ts';
import { MemoryObjectStore } from '../simulation/world/memory-object-store.ts';
import { describeObjectStore } from './object-store.ts';

const PREFIX = 'generation/1/';

describeObjectStore(
  'GenerationStore',
  async () => {
    const store = new MemoryObjectStore();
    const other = new MemoryObjectStore(undefined, store.bucket);
    const generationOf = (whole: MemoryObjectStore) => new GenerationStore(whole, PREFIX, 'data/');
    return { store: generationOf(store), other: generationOf(other), stop: async () => undefined };
  },
  { keyBytesMax: 1_024 - PREFIX.length },
);
