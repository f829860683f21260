/** Puts objects 0, 1, 2 ... and tells each commit, until it is killed. Usage: put-objects.ts <folder> */
import { FileObjectStore } from '../../../broker-runtime/src/adapters/file-object-store.ts';
import { systemEnv } from '../../../broker-runtime/src/adapters/system-env.ts';

const [folder = ''] = process.argv.slice(2);
const store = await FileObjectStore.open(systemEnv(), folder);
const counter = await store.head('counter');
if (counter === undefined) throw new Error('the test creates the counter');
let { etag } = counter;
for (let n = 0; ; n++) {
  const put = await store.put(`many/${n}`, [new Uint8Array(100_000).fill(n)], { kind: 'absent' });
  const swap = await store.put('counter', [new Uint8Array(50_000).fill(n)], { kind: 'etag', etag });
  if (put.outcome !== 'committed' || swap.outcome !== 'committed') throw new Error('not committed');
  etag = swap.etag;
  process.stdout.write(`${n}\n`);
}
