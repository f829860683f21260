/** Takes the folder lock, says so, and lives until it is killed. Usage: hold-lock.ts <folder> */
import { lockFolder } from '../../../broker-runtime/src/adapters/folder-lock.ts';

const [folder = ''] = process.argv.slice(2);
try {
  lockFolder(folder);
  console.log('held');
  setInterval(() => undefined, 1000);
} catch (error) {
  console.log(error instanceof Error ? error.name : 'unknown error');
}
