import { describe, expect, test } from '@jest/globals';
import type { BrokerStatus } from '../../broker-runtime/src/broker.ts';
import { ServerStatus } from '../../broker-runtime/src/server/status.ts';
import { formatStatus } from '../../twin/status-line.ts';

function status(
  change: { store?: Partial<BrokerStatus['store']>; metadataTrouble?: string } = {},
): BrokerStatus {
  return {
    cluster: { nodeId: 1, nodeEpoch: 2, isController: true },
    server: new ServerStatus(),
    store: {
      walUsedBytes: 3,
      walWaitingBytes: 0,
      walCapacityBytes: 4,
      uploadsInFlight: 0,
      uploadedBytes: 2048,
      uploadedObjects: 2,
      uploadTrouble: undefined,
      tailCacheBytes: 0,
      blockCacheBytes: 0,
      ...change.store,
    },
    metadataTrouble: change.metadataTrouble,
  };
}

describe('the status line', () => {
  test('tells rates since the line before', () => {
    const [before, now] = [status(), status()];
    now.server.bytesIn = 1024;
    now.server.bytesOut = 5 * 1024 * 1024;
    expect(formatStatus(now, before, 500)).toBe(
      'in 2.0 KiB/s  out 10.0 MiB/s  clients 0  WAL 75 %  2.0 KiB uploaded in 2 objects',
    );
  });

  test('full-of-memory: says that producers wait, although the ring has room', () => {
    const now = status({ store: { walUsedBytes: 1, walWaitingBytes: 100 } });
    expect(formatStatus(now, now, 500)).toContain('WAL 25 % (producers wait)');
  });

  test('says why uploads wait', () => {
    const now = status({ store: { uploadTrouble: 'put data/1: ENOSPC' } });
    expect(formatStatus(now, now, 500)).toContain('uploads wait: put data/1: ENOSPC');
  });

  test('hidden-metadata-trouble: a metadata log that cannot be written is named before what waits for it', () => {
    const store = { uploadTrouble: 'an upload takes more than 10000 ms' };
    const now = status({ store, metadataTrouble: 'waiting for the object store since 7 s: ENOSPC' });
    expect(formatStatus(now, now, 500)).toContain(
      'uploads wait: waiting for the object store since 7 s: ENOSPC',
    );
  });
});
