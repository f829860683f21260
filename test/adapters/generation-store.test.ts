import { expect, test } from '@jest/globals';
import { GenerationStore } from '../../broker-runtime/src/adapters/generation-store.ts';
import { MemoryObjectStore } from '../simulation/world/memory-object-store.ts';

test('generations have what is shared in common, and nothing else', async () => {
  const whole = new MemoryObjectStore();
  const first = new GenerationStore(whole, 'generation/1/', 'data/');
  const second = new GenerationStore(whole, 'generation/2/', 'data/');
  await first.put('data/1', [new Uint8Array([1])], { kind: 'absent' });
  await first.put('meta/floor', [new Uint8Array([2])], { kind: 'absent' });
  expect([...whole.bucket.objects.keys()]).toEqual(['data/1', 'generation/1/meta/floor']);
  expect((await second.get('data/1')).body).toEqual(new Uint8Array([1]));
  expect(await second.head('meta/floor')).toBeUndefined();
  expect((await first.list('meta/')).objects.map(({ key }) => key)).toEqual(['meta/floor']);
  expect((await second.list('data/')).objects.map(({ key }) => key)).toEqual(['data/1']);
  await second.delete(['data/1', 'meta/floor']);
  expect([...whole.bucket.objects.keys()]).toEqual(['generation/1/meta/floor']);
});
