/**
 * Takes the folder lock, keeps no reference to it, says so, and lives until it is killed; collects garbage at
 * SIGUSR2. Usage: hold-lock.ts <folder>
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { lockFolder } from '../../../broker-runtime/src/adapters/folder-lock.ts';

const [folder = ''] = process.argv.slice(2);
try {
  lockFolder(folder);
  console.log('held');
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  process.on('SIGUSR2', () => {
    collectGarbage();
    setTimeout(() => {
      collectGarbage();
      console.log('collected');
    }, 20);
  });
  setInterval(() => undefined, 1000);
} catch (error) {
  console.log(error instanceof Error ? error.name : 'unknown error');
}
