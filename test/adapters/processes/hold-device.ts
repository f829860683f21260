/** Holds a device file until it is killed. Usage: hold-device.ts <file> */
import { DirectBlockDevice } from '../../../broker-runtime/src/adapters/direct-block-device.ts';
import { systemEnv } from '../../../broker-runtime/src/adapters/system-env.ts';

const [file = ''] = process.argv.slice(2);
await DirectBlockDevice.open(systemEnv({ minLevel: 'error' }), file);
console.log('held');
setInterval(() => undefined, 1000);
