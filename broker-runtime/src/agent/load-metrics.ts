import { messageOf } from '../base/errors.ts';
import type { BrokerProcess } from '../ports/broker-process.ts';
import type { Metrics } from '../ports/cloud.ts';
import type { Env } from '../ports/env.ts';

/** CloudWatch's own grain: more often costs more calls and tells scaling nothing new. */
const INTERVAL_MS = 60_000;

/**
 * Passes on how busy a broker is, by cluster and zone, until `over`. Figures that do not get through are missing, which alarms
 * and scaling take as no news: the broker itself goes on.
 */
export async function passOnLoad(
  { env, metrics }: { readonly env: Env; readonly metrics: Metrics },
  process: BrokerProcess,
  dimensions: Readonly<Record<string, string>>,
  over: AbortSignal,
): Promise<void> {
  for (;;) {
    const isOver = await env.clock.sleep(INTERVAL_MS, over).then(
      () => false,
      () => true,
    );
    if (isOver) return;
    if (process.load === undefined) continue;
    const { busyPercent, walFullPercent, certificateDaysLeft } = process.load;
    try {
      await metrics.put(
        {
          BusyPercent: busyPercent,
          WalFullPercent: walFullPercent,
          ...(certificateDaysLeft === undefined ? {} : { CertificateDaysLeft: certificateDaysLeft }),
        },
        dimensions,
      );
    } catch (error) {
      env.events.warn('agent.metrics-failed', { reason: messageOf(error) });
    }
  }
}
