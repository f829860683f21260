import { expect, test } from '@jest/globals';
import { ServerStatus } from '../../broker-runtime/src/server/status.ts';

test('requests are counted by API and version, in a table that a hostile version cannot grow', () => {
  const status = new ServerStatus();
  status.countServed(18, 3);
  status.countServed(18, 3);
  status.countServed(18, 0);
  status.countServed(18, 32_767);
  expect([...status.served]).toEqual([[18, [1, 0, 0, 2]]]);
});
