import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { S3ObjectStore } from '../../broker-runtime/src/adapters/s3-object-store.ts';
import { systemEnv } from '../../broker-runtime/src/adapters/system-env.ts';
import { describeObjectStore } from '../conformance/object-store.ts';
import type { ObjectStoreUnderTest } from '../conformance/object-store.ts';

interface ServerFacts {
  readonly endpoint: string;
  readonly bucket: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** `npm run test:s3`: the S3 adapter against a server that keeps S3's conditional writes. */
async function startServer(): Promise<{ readonly facts: ServerFacts; readonly process: ChildProcess }> {
  const script = path.join(__dirname, '../../scripts/s3-server.mjs');
  const server = spawn(process.execPath, [script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: server.stdout });
  const [line] = (await once(lines, 'line')) as [string];
  return { facts: JSON.parse(line) as ServerFacts, process: server };
}

const start = async (): Promise<ObjectStoreUnderTest> => {
  const server = await startServer();
  const { endpoint, bucket, region, accessKeyId, secretAccessKey } = server.facts;
  process.env['AWS_ACCESS_KEY_ID'] = accessKeyId;
  process.env['AWS_SECRET_ACCESS_KEY'] = secretAccessKey;
  const env = systemEnv({ minLevel: 'error' });
  const options = { bucket, endpoint, region, prefix: 'conformance' };
  return {
    store: new S3ObjectStore(env, options),
    other: new S3ObjectStore(env, options),
    stop: async () => {
      const exited = once(server.process, 'exit');
      server.process.stdin?.end();
      await exited;
    },
  };
};

describeObjectStore('S3ObjectStore against VersityGW', start, { noKeyBelowAnother: true });
