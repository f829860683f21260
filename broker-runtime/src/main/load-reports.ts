import { performance } from 'node:perf_hooks';
import type { BrokerStatus } from '../broker.ts';
import type { BrokerLoad } from '../ports/broker-process.ts';
import type { Certificates } from './certificates.ts';

/** Shorter than the agent's own interval: what it passes on is of the last seconds. */
const INTERVAL_MS = 10_000;

/** Tells every few seconds how busy this process is. @returns what ends it */
export function reportLoad(
  broker: { status(): BrokerStatus; readonly certificates: Certificates },
  tell: (load: BrokerLoad) => void,
): () => void {
  let before = performance.eventLoopUtilization();
  const timer = setInterval(() => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    const { walUsedBytes, walCapacityBytes, walWaitingBytes } = broker.status().store;
    const { daysLeft } = broker.certificates;
    tell({
      busyPercent: Math.round(utilization * 100),
      walFullPercent: walWaitingBytes > 0 ? 100 : Math.round((100 * walUsedBytes) / walCapacityBytes),
      ...(daysLeft === undefined ? {} : { certificateDaysLeft: daysLeft }),
    });
  }, INTERVAL_MS);
  timer.unref();
  return () => clearInterval(timer);
}
